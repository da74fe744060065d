"""No secret leaves the process, whatever fails."""

import os
from pathlib import Path

import pytest

from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.metadata_ingestion.world import Run, World

pytestmark = pytest.mark.services

# Any character may be in one.
PASSWORD = "p@ss:w/ö rd%41'\"$#?"


def _said(world: World, run: Run) -> str:
    """Return all that Dagster keeps of a run."""
    logs = world.instance.all_logs(run.result.run_id)
    stored = world.instance.get_run_by_id(run.result.run_id)
    return "\n".join([*map(repr, logs), repr(stored)])


def _command_lines() -> str:
    lines = [
        path.read_bytes().decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.stat().st_uid == os.getuid()
    ]
    return "\n".join(lines)


def test_a_password_of_any_characters_works_and_is_nowhere(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    name = world.database("shop")
    role = f"{world.prefix}boss"
    quoted = PASSWORD.replace("'", "''")
    world.sql(name, f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{quoted}'")
    try:
        with environment(
            {"POSTGRES_USERNAME": role, "POSTGRES_PASSWORD": PASSWORD}
        ):
            run = world.ingest()
            assert run.success, run.failures()
            world.faults(expired_token=True)
            refused = world.ingest(force=True)
            assert not refused.success
            world.faults()
            world.faults(
                routes=[{"prefix": "/api/v1/tables/bulk", "status": 500}]
            )
            failed = world.ingest(force=True)
            assert not failed.success
    finally:
        world.faults()
        world.sql(name, f"DROP ROLE {role}")
    out = capfd.readouterr()
    texts = [out.out, out.err, _command_lines()]
    texts += [_said(world, each) for each in (run, refused, failed)]
    for secret in (PASSWORD, world.server.token):
        for text in texts:
            assert secret not in text


def test_the_server_does_not_get_to_keep_the_password(world: World) -> None:
    name = world.database("shop", "CREATE TABLE a (id int)")
    assert world.ingest().success
    service = world.entity(
        f"services/databaseServices/name/" f"{world.service(name)}"
    )
    assert "authType" not in str(service)
