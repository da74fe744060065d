"""The service's watchers on an inbox and a broker of their own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetObservation,
    DagsterInstance,
    ExecuteInProcessResult,
    SensorDefinition,
    SensorResult,
    build_sensor_context,
    instance_for_test,
)

from moderate.clients.rabbitmq import Rabbit
from moderate.definitions import all_kinds, build_defs
from moderate.inbox.database import pool_of
from moderate.inbox.migrate import migrate
from moderate.inbox.model import NewItem, State
from moderate.inbox.store import Inbox
from moderate.local.services.postgres import Postgres
from moderate.local.services.rabbitmq import RabbitMQ
from moderate.resources import inbox_address
from moderate.settings import Settings, process_settings
from moderate_tests.integration.flows.platform import environment

KIND = "matrix_profile"
OTHER = "user_did"


@dataclass(frozen=True)
class Watched:
    """An inbox, a broker and a Dagster instance, and how they are driven."""

    instance: DagsterInstance

    @property
    def settings(self) -> Settings:
        return process_settings()

    @property
    def inbox(self) -> Inbox:
        settings = self.settings
        return Inbox(inbox_address(settings), all_kinds(settings))

    def record(self, kind: str = KIND, *keys: str, **more: Any) -> None:
        with self.inbox.transaction() as conn:
            items = [NewItem(kind, key, {"of": key}, **more) for key in keys]
            self.inbox.record(conn, items)

    def record_dead(self, *keys: str, error: str = "no such column") -> None:
        self.record(
            KIND, *keys, state=State.DEAD, error=error, outcome={"e": error}
        )

    def sql(self, text: str) -> None:
        with self.inbox.transaction() as conn:
            conn.execute(text.encode())

    def rows(self, text: str) -> list[dict[str, Any]]:
        with self.inbox.transaction() as conn:
            return list(conn.execute(text.encode()).fetchall())

    def rabbit(self) -> Rabbit:
        rabbit = self.settings.rabbit
        assert rabbit
        return Rabbit(rabbit.url)

    def evaluate(
        self, sensor: SensorDefinition, cursor: str | None = None
    ) -> Any:
        defs = build_defs()
        context: Any = build_sensor_context(
            instance=self.instance,
            resources=defs.resources or {},
            sensor_name=sensor.name,
            cursor=cursor,
        )
        with context:
            return sensor(context)


def output_of(result: ExecuteInProcessResult) -> Mapping[str, Any]:
    """Return the metadata of a run's only output."""
    (output,) = [
        event.step_output_data
        for event in result.all_events
        if event.is_successful_output
    ]
    return output.metadata


@dataclass(frozen=True)
class Tick:
    """What a tick of the operations sensor told."""

    result: SensorResult

    @property
    def points(self) -> dict[str, dict[str, Any]]:
        return {
            event.asset_key.to_user_string(): {
                name: value.value for name, value in event.metadata.items()
            }
            for event in self.result.asset_events
            if isinstance(event, AssetObservation)
        }

    @property
    def checks(self) -> dict[str, bool]:
        return {
            f"{event.asset_key.to_user_string()}:{event.check_name}": (
                event.passed
            )
            for event in self.result.asset_events
            if isinstance(event, AssetCheckEvaluation)
        }


@pytest.fixture(scope="session")
def dagster_instance() -> Iterator[DagsterInstance]:
    """One instance for the session: no test counts what is in it."""
    with instance_for_test() as instance:
        yield instance


@pytest.fixture
def watched(
    postgres_server: Postgres,
    rabbitmq: RabbitMQ,
    dagster_instance: DagsterInstance,
) -> Iterator[Watched]:
    """The watchers, on a migrated inbox and queues of their own."""
    database = f"operations_{uuid4().hex}"
    queue = f"operations-{uuid4().hex}"
    values = {
        **postgres_server.client_environment(),
        "INBOX_DATABASE": database,
        "RABBIT_URL": rabbitmq.url,
        "MATRIX_PROFILE_QUEUE": queue,
        "MATRIX_PROFILE_DEAD_LETTER_QUEUE": f"{queue}.dead-letter",
    }
    with environment(values):
        made = Watched(dagster_instance)
        migrate(made.inbox.where)
        yield made
        pool_of(made.inbox.where).close()
    postgres_server.drop_database(database)
