"""The service with fresh state, on the session's real peers."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from dagster import instance_for_test

from moderate.local.services.platform_api import PlatformApi
from moderate.local.services.postgres import Postgres
from moderate.local.services.rabbitmq import RabbitMQ
from moderate.local.services.s3 import S3
from moderate_tests.integration.flows.platform import Service, environment


@pytest.fixture
def service(
    postgres_server: Postgres,
    rabbitmq: RabbitMQ,
    s3: S3,
    platform_api: PlatformApi,
    realm_secrets: dict[str, str],
    tmp_path: Path,
) -> Iterator[Service]:
    database = f"flows_{uuid4().hex}"
    values = {
        **postgres_server.client_environment(),
        **rabbitmq.client_environment(),
        **s3.client_environment(),
        **platform_api.client_environment(),
        "INBOX_DATABASE": database,
        "ANALYSIS_WORK_DIR": str(tmp_path / "analyses"),
        "MATRIX_PROFILE_BACKOFF_SECONDS": "0.1",
        "INBOX_HEARTBEAT_SECONDS": "0.2",
    }
    with environment(values), instance_for_test() as instance:
        service = Service(instance, platform_api.url, realm_secrets)
        service.prepare()
        yield service
        with service.rabbit().channel() as channel:
            while batch := channel.take("matrix_profile", limit=1000):
                channel.ack(batch)
