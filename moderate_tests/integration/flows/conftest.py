"""The service with fresh state, on the session's real peers."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from dagster import DagsterInstance, instance_for_test
from pydantic import SecretStr

from moderate.clients.platform_api import PlatformApi as ApiClient
from moderate.flows.matrix_profile import analysis
from moderate.inbox.database import address
from moderate.inbox.migrate import migrate
from moderate.local.services.platform_api import PlatformApi
from moderate.local.services.postgres import Postgres
from moderate.local.services.rabbitmq import RabbitMQ
from moderate.local.services.s3 import OUTPUTS_BUCKET, S3
from moderate_tests.integration.flows import stand_in
from moderate_tests.integration.flows.platform import (
    AsUser,
    Service,
    environment,
)


@pytest.fixture(scope="session")
def as_user(
    platform_api: PlatformApi, realm_secrets: dict[str, str]
) -> Iterator[AsUser]:
    """Clients of the platform by user; each logs in once a session."""
    with ExitStack() as opened:

        @cache
        def client(user: str) -> ApiClient:
            password = SecretStr(realm_secrets[f"{user}_password"])
            return opened.enter_context(
                ApiClient(platform_api.url, user, password)
            )

        yield client


@pytest.fixture(scope="session")
def empty_inbox(postgres_server: Postgres) -> str:
    """A migrated database, to be copied."""
    name = "flows_template"
    given = postgres_server.client_environment()
    migrate(
        address(
            host=given["POSTGRES_HOST"],
            port=int(given["POSTGRES_PORT"]),
            user=given["POSTGRES_USERNAME"],
            password=given["POSTGRES_PASSWORD"],
            dbname=name,
        )
    )
    return name


@pytest.fixture
def settings(
    postgres_server: Postgres,
    rabbitmq: RabbitMQ,
    s3: S3,
    platform_api: PlatformApi,
    empty_inbox: str,
    tmp_path: Path,
) -> Iterator[dict[str, str]]:
    """The environment of a service with an inbox of its own."""
    database = f"flows_{uuid4().hex}"
    postgres_server.create_database(database, template=empty_inbox)
    yield {
        **postgres_server.client_environment(),
        **rabbitmq.client_environment(),
        **s3.client_environment(),
        **platform_api.client_environment(),
        "INBOX_DATABASE": database,
        "ANALYSIS_WORK_DIR": str(tmp_path / "analyses"),
        "MATRIX_PROFILE_DEAD_LETTER_QUEUE": f"dead-{database}",
        "MATRIX_PROFILE_BACKOFF_SECONDS": "0.1",
        "INBOX_HEARTBEAT_SECONDS": "0.2",
    }
    postgres_server.drop_database(database)


@pytest.fixture
def no_reports(s3: S3) -> None:
    """Remove reports of earlier tests: ids count from 1 in each."""
    client = s3.client()
    found = client.list_objects_v2(Bucket=OUTPUTS_BUCKET)
    for each in found.get("Contents", []):
        client.delete_object(Bucket=OUTPUTS_BUCKET, Key=each["Key"])


@pytest.fixture
def service(
    settings: dict[str, str],
    platform_api: PlatformApi,
    as_user: AsUser,
    no_reports: None,
) -> Iterator[Service]:
    """The service in this process; its analyses are the real ones."""
    with environment(settings), DagsterInstance.ephemeral() as instance:
        yield from _used(Service(instance, platform_api.url, as_user))


@pytest.fixture
def stored_service(
    settings: dict[str, str],
    platform_api: PlatformApi,
    as_user: AsUser,
    no_reports: None,
) -> Iterator[Service]:
    """The service with a Dagster instance that keeps all that it is told."""
    with environment(settings), instance_for_test() as instance:
        yield from _used(Service(instance, platform_api.url, as_user))


def _used(service: Service) -> Iterator[Service]:
    service.prepare()
    try:
        yield service
        service.check_words()
    finally:
        service.close()


@pytest.fixture
def stand_in_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run ``stand_in`` instead of the analysis, and look often."""
    command = (sys.executable, "-I", str(stand_in.__file__))
    monkeypatch.setattr(analysis, "COMMAND", command)
    monkeypatch.setattr(analysis, "POLL", timedelta(seconds=0.1))
