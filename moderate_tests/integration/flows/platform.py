"""The service as a test sees it: post jobs, tick sensors, carry out runs."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    ExecuteInProcessResult,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorResult,
    SkipReason,
    build_sensor_context,
)
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from pydantic import SecretStr

from moderate.analyses.launcher import AttemptId, Launcher, Running
from moderate.analyses.process import ProcessLauncher
from moderate.analyses.process_state import AttemptDir
from moderate.clients.platform_api import PlatformApi
from moderate.clients.platform_models import Job
from moderate.clients.rabbitmq import Delivery, Rabbit
from moderate.definitions import all_kinds, build_defs
from moderate.flows.matrix_profile.analysis import ATTEMPT_KIND
from moderate.flows.matrix_profile.sensor import (
    matrix_profile_leftovers_sensor,
    matrix_profile_messages_sensor,
    matrix_profile_reconcile_sensor,
)
from moderate.inbox import admin
from moderate.inbox.database import pool_of
from moderate.inbox.model import WorkItem
from moderate.inbox.store import Inbox
from moderate.resources import inbox_address, redactor
from moderate.settings import load_settings, process_settings
from moderate_tests.integration.flows import stand_in

RUN_KEY = "dagster/run_key"
CODE = RemoteRepositoryOrigin(
    RegisteredCodeLocationOrigin("moderate"), "__repository__"
)
SERIES = b"time,value\n" + b"".join(
    f"2024-01-{day:02} {hour:02}:00,{(day * hour) % 17 + hour}\n".encode()
    for day in range(1, 15)
    for hour in range(24)
)
"""Two weeks of hourly values: enough for a window of a day."""

WORDS = "platform_job_result"

AsUser = Callable[[str], PlatformApi]


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Give this process other settings for the length of a block."""
    before = dict(os.environ)
    os.environ.update(values)
    _forget_settings()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        _forget_settings()


def _forget_settings() -> None:
    process_settings.cache_clear()
    redactor.cache_clear()


@dataclass(frozen=True)
class Service:
    """The service's parts, called one after the other by a test.

    The daemon's part is played here: a request whose run key has a run is
    skipped, as Dagster does it. Tests with the real daemon are in ``e2e``.
    """

    instance: DagsterInstance
    api_url: str
    as_user: AsUser
    retried: set[int] = field(default_factory=set)

    def prepare(self) -> None:
        """Leave nothing that another test may have posted."""
        self.control("POST", "reset")
        self.empty_queue()

    def close(self) -> None:
        """Leave no message, no process and no connection behind."""
        for attempt in self.launcher.all_attempts():
            self.launcher.stop(attempt)
        self.empty_queue()
        self.control("PUT", "faults", json={})
        pool_of(self.inbox.where).close()

    def empty_queue(self) -> None:
        with self.rabbit().channel() as channel:
            channel.declare_durable(self.queue)
            while batch := channel.take(self.queue, limit=1000):
                channel.ack(batch)

    # The inbox

    @property
    def inbox(self) -> Inbox:
        settings = load_settings()
        return Inbox(inbox_address(settings), all_kinds(settings))

    def items(self, kind: str = "matrix_profile") -> Sequence[WorkItem]:
        with self.inbox.transaction() as conn:
            found = admin.list_items(conn, kind=kind, limit=100_000)
        return sorted(found, key=lambda item: item.id)

    def item(self, kind: str = "matrix_profile") -> WorkItem:
        """Return the only item of a kind."""
        (item,) = self.items(kind)
        return item

    def word(self) -> WorkItem:
        """Return the only final word."""
        return self.item(WORDS)

    def retry_by_hand(self, item: WorkItem) -> bool:
        self.retried.add(item.payload["workflow_job_id"])
        with self.inbox.transaction() as conn:
            return admin.retry_item(conn, item.id, who="anna", why="mended")

    def sql(self, text: str) -> None:
        """Change rows, for instance let time pass."""
        with self.inbox.transaction() as conn:
            conn.execute(text.encode())

    def let_waiting_be_due(self) -> None:
        self.sql("UPDATE work_item SET next_attempt_at = clock_timestamp()")

    def let_hours_pass(self) -> None:
        """Let heartbeats be missed and the grace of batches be over."""
        self.sql(
            "UPDATE batch SET created_at = created_at - interval '2 hours',"
            " started_at = started_at - interval '2 hours',"
            " heartbeat_at = heartbeat_at - interval '2 hours'"
        )

    # The broker

    @property
    def queue(self) -> str:
        return load_settings().matrix_profile.queue

    def rabbit(self) -> Rabbit:
        return Rabbit(SecretStr(os.environ["RABBIT_URL"]))

    def publish(self, *bodies: bytes) -> None:
        with self.rabbit().channel() as channel:
            for body in bodies:
                channel.publish_confirmed(self.queue, body)

    def waiting(self, queue: str | None = None) -> int | None:
        """Return how many messages wait; ``None``: no such queue."""
        with self.rabbit().channel() as channel:
            return channel.queue_length(queue or self.queue)

    def dead_letters(self) -> Sequence[Delivery]:
        """Take what was kept of rejected messages."""
        queue = load_settings().matrix_profile.dead_letter_queue
        found: list[Delivery] = []
        with self.rabbit().channel() as channel:
            while batch := channel.take(queue, limit=1000):
                found += batch
                channel.ack(batch)
        return found

    # The platform

    def post_job(
        self,
        variable: str = "report",
        content: bytes = SERIES,
        user: str = "alice",
    ) -> Job:
        api = self.as_user(user)
        asset = api.create_asset(f"asset {uuid4()}")
        uploaded = api.upload_object(asset.id, "series.csv", content)
        return api.create_job("matrix_profile", uploaded.id, variable)

    def job(self, job_id: int) -> Job:
        job = self.as_user("workflows").get_job(job_id)
        assert job
        return job

    def results(self, job: Job) -> dict[str, Any]:
        """Return what the platform was told of a job."""
        results = self.job(job.id).results
        assert results
        return results

    def control(self, method: str, what: str, **options: Any) -> Any:
        answer = httpx.request(
            method, f"{self.api_url}/_emulator/{what}", **options
        )
        return answer.raise_for_status().content

    def faults(self, **faults: Any) -> None:
        self.control("PUT", "faults", json=faults)

    def patch_fails(self, status: int, **more: Any) -> None:
        route = {"prefix": "/job/", "method": "PATCH", "status": status}
        self.faults(routes=[{**route, **more}])

    def patches(self, job: Job) -> list[dict[str, Any]]:
        """Return the results of a job that the platform was given."""
        return self.all_patches().get(job.id, [])

    def all_patches(self) -> dict[int, list[dict[str, Any]]]:
        """Return the results that the platform was given, by job."""
        answer = httpx.get(f"{self.api_url}/_emulator/ledger")
        ledger = answer.raise_for_status().json()
        return {
            int(job): [
                patch["body"]["results"]
                for patch in patches
                if patch["status"] == 200
            ]
            for job, patches in ledger["job_patches"].items()
        }

    def check_words(self) -> None:
        """Never two different words, unless a person asked for another."""
        for job, patches in self.all_patches().items():
            if job not in self.retried:
                assert all(patch == patches[0] for patch in patches)

    # Ticks and runs

    def tick(self) -> Sequence[RunRequest]:
        """Let the messages sensor tick once."""
        result = self.evaluate(matrix_profile_messages_sensor)
        assert isinstance(result, SensorResult)
        return result.run_requests or []

    def reconcile(self) -> str:
        """Let the reconcile sensor tick once; return what it says."""
        return self.said_by(matrix_profile_reconcile_sensor)

    def end_leftovers(self) -> str:
        """Let the leftovers sensor tick once; return what it says."""
        return self.said_by(matrix_profile_leftovers_sensor)

    def said_by(self, sensor: SensorDefinition) -> str:
        """Let a sensor tick that asks for no run; return what it says."""
        result = self.evaluate(sensor)
        assert isinstance(result, SkipReason)
        return str(result.skip_message)

    def evaluate(self, sensor: SensorDefinition) -> Any:
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

    def execute(
        self, request: RunRequest, run_id: str | None = None
    ) -> ExecuteInProcessResult:
        job = build_defs().resolve_job_def(str(request.job_name))
        return job.execute_in_process(
            instance=self.instance,
            run_config=request.run_config,
            tags={**request.tags, RUN_KEY: str(request.run_key)},
            raise_on_error=False,
            run_id=run_id,
        )

    def create_run(
        self,
        request: RunRequest,
        status: DagsterRunStatus = DagsterRunStatus.NOT_STARTED,
    ) -> DagsterRun:
        """Make the row of a run, as the daemon does; nobody executes it."""
        return self.instance.create_run_for_job(
            build_defs().resolve_job_def(str(request.job_name)),
            run_config=dict(request.run_config),
            tags={**request.tags, RUN_KEY: str(request.run_key)},
            status=status,
            remote_job_origin=RemoteJobOrigin(CODE, str(request.job_name)),
        )

    def tick_and_carry_out(self) -> list[ExecuteInProcessResult]:
        return self.carry_out(self.tick())

    # Analyses

    @property
    def work_dir(self) -> Path:
        return Path(os.environ["ANALYSIS_WORK_DIR"])

    @property
    def launcher(self) -> Launcher:
        return ProcessLauncher(self.work_dir)

    def let_analyses_go_on(self) -> None:
        (self.work_dir / "go").touch()

    def attempts(self, item: WorkItem) -> Sequence[AttemptId]:
        return self.launcher.attempts(ATTEMPT_KIND, item.id)

    def is_running(self, attempt: AttemptId) -> bool:
        return isinstance(self.launcher.status(attempt), Running)

    def is_at_work(self) -> bool:
        """Whether a stand-in does what its variable says.

        From then on nothing of it changes until a test lets it go on; that
        an attempt runs may only mean that it is about to be started.
        """
        return (self.work_dir / stand_in.TRIED.name).exists()

    def supervisor(self, attempt: AttemptId) -> int | None:
        """Return the process number of an attempt's supervisor."""
        return AttemptDir(self.work_dir / attempt.name).holder()
