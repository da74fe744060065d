"""The framework verifies a database server as libpq is told to."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from dagster import DagsterInstance

from moderate.inbox.database import pool_of
from moderate.inbox.migrate import migrate
from moderate.local.ports import LOOPBACK, free_port
from moderate.local.services.open_metadata import OpenMetadata
from moderate.local.services.postgres import UNPRIVILEGED_USER, Postgres
from moderate.local.services.s3 import S3
from moderate.resources import inbox_address
from moderate.settings import load_settings
from moderate_tests.integration.flows.git_server import certify
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.metadata_ingestion import killed_run
from moderate_tests.integration.metadata_ingestion.world import (
    World,
    new_world,
)

pytestmark = [pytest.mark.services, pytest.mark.full]

AUTHORITY = "PGSSLROOTCERT"
CERTIFICATE = "server.crt"
"""As Postgres looks for it; it vouches for itself."""


def _take_tls_only(server: Postgres) -> None:
    certificate = server.data / CERTIFICATE
    key = server.data / "server.key"
    certify(certificate, key)
    key.chmod(0o600)
    if os.geteuid() == 0:
        for path in (certificate, key):
            shutil.chown(path, UNPRIVILEGED_USER)
    with (server.data / "postgresql.conf").open("a") as settings:
        settings.write("ssl = on\n")
    (server.data / "pg_hba.conf").write_text(
        f"hostssl all all {LOOPBACK}/32 scram-sha-256\n"
    )
    server.restart()


@pytest.fixture(scope="module")
def server(services_folder: Path) -> Iterator[Postgres]:
    """A server that takes nobody without TLS."""
    with Postgres(
        services_folder / "postgres-tls",
        port=free_port(),
        password=secrets.token_urlsafe(),
        durable=False,
    ) as server:
        _take_tls_only(server)
        yield server


@pytest.fixture
def world(
    server: Postgres, s3: S3, metadata_server: OpenMetadata
) -> Iterator[World]:
    """The service, which verifies its database server."""
    with ExitStack() as stack:
        instance = stack.enter_context(DagsterInstance.ephemeral())
        world = stack.enter_context(
            new_world(instance, server, s3, metadata_server)
        )
        world.wipe()
        settings = {
            **server.client_environment(),
            **metadata_server.client_environment(),
            "INBOX_DATABASE": f"inbox_{uuid4().hex}",
            "METADATA_IGNORED_DATABASES": f"(?!{world.prefix}).*",
            "POSTGRES_SSLMODE": "verify-full",
            AUTHORITY: str(server.data / CERTIFICATE),
        }
        stack.enter_context(environment(settings))
        address = inbox_address(load_settings(settings))
        migrate(address)
        stack.callback(pool_of(address).close)
        yield world


def _run(home: Path) -> str:
    """Run the job in a process of its own: libpq reads what it began with."""
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    done = subprocess.run(
        [sys.executable, str(killed_run.__file__), killed_run.NEVER],
        env={**os.environ, "DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_server_that_the_authority_vouches_for_is_read(
    world: World, tmp_path: Path
) -> None:
    name = world.database("shop")
    said = _run(tmp_path)
    assert "success True" in said, said[-2000:]
    customers = f"{world.service(name)}.{name}.sales.customers"
    assert world.profile(customers)["rowCount"] == 50


def test_a_server_that_another_vouches_for_is_refused_and_so_told(
    world: World, tmp_path: Path
) -> None:
    world.database("shop")
    other = tmp_path / "other.pem"
    certify(other, tmp_path / "key.pem")
    with environment({AUTHORITY: str(other)}):
        said = _run(tmp_path)
    assert "success True" not in said
    assert "certificate verify failed" in said
