"""The service as a test sees it: post jobs, tick sensors, carry out runs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from dagster import (
    DagsterInstance,
    ExecuteInProcessResult,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorResult,
    SkipReason,
    build_sensor_context,
)
from pydantic import SecretStr

from moderate.clients.platform_api import PlatformApi
from moderate.clients.platform_models import Job
from moderate.clients.rabbitmq import Rabbit
from moderate.definitions import all_kinds, build_defs
from moderate.flows.matrix_profile.sensor import (
    matrix_profile_messages_sensor,
    matrix_profile_reconcile_sensor,
)
from moderate.inbox import admin
from moderate.inbox.migrate import migrate
from moderate.inbox.model import WorkItem
from moderate.inbox.store import Inbox
from moderate.resources import inbox_address
from moderate.settings import load_settings, process_settings

RUN_KEY = "dagster/run_key"
SERIES = b"time,value\n" + b"".join(
    f"2024-01-{day:02} {hour:02}:00,{(day * hour) % 17 + hour}\n".encode()
    for day in range(1, 15)
    for hour in range(24)
)
"""Two weeks of hourly values: enough for a window of a day."""


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Give this process other settings for the length of a block."""
    before = dict(os.environ)
    os.environ.update(values)
    process_settings.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        process_settings.cache_clear()


@dataclass
class Service:
    """The service's parts, called one after the other by a test.

    The daemon's part is played here: a request whose run key has a run is
    skipped, as Dagster does it. Tests with the real daemon are in ``e2e``.
    """

    instance: DagsterInstance
    api_url: str
    secrets: Mapping[str, str]
    requests: list[RunRequest] = field(default_factory=list)

    @property
    def inbox(self) -> Inbox:
        settings = load_settings()
        return Inbox(inbox_address(settings), all_kinds(settings))

    def prepare(self) -> None:
        migrate(self.inbox.where)
        httpx.post(f"{self.api_url}/_emulator/reset").raise_for_status()
        settings = load_settings()
        with self.rabbit().channel() as channel:
            channel.declare_durable(settings.matrix_profile.queue)

    def rabbit(self) -> Rabbit:
        return Rabbit(SecretStr(os.environ["RABBIT_URL"]))

    def client(self, user: str) -> PlatformApi:
        password = SecretStr(self.secrets[f"{user}_password"])
        return PlatformApi(self.api_url, user, password)

    def post_job(
        self,
        user: str = "alice",
        content: bytes = SERIES,
        variable: str = "value",
    ) -> Job:
        with self.client(user) as api:
            asset = api.create_asset(f"asset {uuid4()}")
            uploaded = api.upload_object(asset.id, "series.csv", content)
            return api.create_job("matrix_profile", uploaded.id, variable)

    def job(self, job_id: int) -> Job:
        with self.client("workflows") as api:
            job = api.get_job(job_id)
        assert job
        return job

    def faults(self, **faults: Any) -> None:
        httpx.put(
            f"{self.api_url}/_emulator/faults", json=faults
        ).raise_for_status()

    def ledger(self) -> dict[str, Any]:
        answer = httpx.get(f"{self.api_url}/_emulator/ledger")
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def tick(self) -> Sequence[RunRequest]:
        """Let the messages sensor tick once."""
        result = self._evaluate(matrix_profile_messages_sensor)
        assert isinstance(result, SensorResult)
        return result.run_requests or []

    def reconcile(self) -> str:
        """Let the reconcile sensor tick once; return what it says."""
        result = self._evaluate(matrix_profile_reconcile_sensor)
        assert isinstance(result, SkipReason)
        return str(result.skip_message)

    def _evaluate(self, sensor: SensorDefinition) -> Any:
        defs = build_defs()
        context = build_sensor_context(
            instance=self.instance,
            resources=defs.resources or {},
            sensor_name=sensor.name,
        )
        with context:
            return sensor(context)

    def carry_out(
        self, requests: Sequence[RunRequest]
    ) -> list[ExecuteInProcessResult]:
        """Execute the runs that are asked for and have no run yet."""
        return [
            self.execute(request)
            for request in requests
            if not self.instance.get_runs(
                RunsFilter(tags={RUN_KEY: str(request.run_key)}), limit=1
            )
        ]

    def execute(self, request: RunRequest) -> ExecuteInProcessResult:
        job = build_defs().resolve_job_def(str(request.job_name))
        return job.execute_in_process(
            instance=self.instance,
            run_config=request.run_config,
            tags={**request.tags, RUN_KEY: str(request.run_key)},
            raise_on_error=False,
        )

    def tick_and_carry_out(self) -> list[ExecuteInProcessResult]:
        return self.carry_out(self.tick())

    def items(self, kind: str = "matrix_profile") -> Sequence[WorkItem]:
        with self.inbox.transaction() as conn:
            found = admin.list_items(conn, kind=kind)
        return sorted(found, key=lambda item: item.id)
