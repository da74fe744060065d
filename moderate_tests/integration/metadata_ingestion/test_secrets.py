"""No secret leaves the process, whatever fails."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.metadata_ingestion import killed_run
from moderate_tests.integration.metadata_ingestion.world import Run, World

pytestmark = pytest.mark.services

LOOK_SECONDS = 0.2
# Any character may be in one.
PASSWORD = "p@ss:w/ö rd%41'\"$#?"


def _said(world: World, run: Run) -> str:
    """Return all that Dagster keeps of a run."""
    logs = world.instance.all_logs(run.result.run_id)
    stored = world.instance.get_run_by_id(run.result.run_id)
    return "\n".join([*map(repr, logs), repr(stored)])


def _command_lines() -> set[str]:
    lines: set[str] = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # It has ended.
            lines.add(path.read_text(errors="replace"))
    return lines


def _watched(running: subprocess.Popen[bytes]) -> set[str]:
    """Wait for a process to end, and return all command lines meanwhile."""
    lines: set[str] = set()
    while running.poll() is None:
        lines |= _command_lines()
        with suppress(subprocess.TimeoutExpired):
            running.wait(LOOK_SECONDS)
    return lines


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
    texts = [out.out, out.err]
    texts += [_said(world, each) for each in (run, refused, failed)]
    for secret in (PASSWORD, world.server.token):
        for text in texts:
            assert secret not in text


def test_a_failing_run_that_logs_everything_tells_no_secret(
    world: World, tmp_path: Path
) -> None:
    """In a process of its own, so that all of its children are heard."""
    name = world.database("shop")
    role = f"{world.prefix}boss"
    quoted = PASSWORD.replace("'", "''")
    world.sql(name, f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{quoted}'")
    world.faults(routes=[{"prefix": "/api/v1/tables/bulk", "status": 500}])
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    log = tmp_path / "log"
    try:
        with (
            log.open("wb") as file,
            subprocess.Popen(
                [sys.executable, str(killed_run.__file__), killed_run.NEVER],
                env={
                    **os.environ,
                    "DAGSTER_HOME": str(tmp_path),
                    "LOG_LEVEL": "DEBUG",
                    "POSTGRES_USERNAME": role,
                    "POSTGRES_PASSWORD": PASSWORD,
                },
                stdout=file,
                stderr=subprocess.STDOUT,
            ) as running,
        ):
            lines = _watched(running)
    finally:
        world.sql(name, f"DROP ROLE {role}")
    said = log.read_text()
    assert "success False" in said, said[-2000:]
    assert "/tables/bulk" in said, "its log was heard"
    assert any("killed_run" in line for line in lines)
    # Dagster's event log is among the files.
    kept = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    for secret in (PASSWORD, quote(PASSWORD), world.server.token):
        assert not any(secret in line for line in lines)
        assert not any(secret.encode() in content for content in kept)


def test_the_server_does_not_get_to_keep_the_password(world: World) -> None:
    name = world.database("shop", "CREATE TABLE a (id int)")
    assert world.ingest().success
    service = world.entity(
        f"services/databaseServices/name/" f"{world.service(name)}"
    )
    assert "authType" not in str(service)
