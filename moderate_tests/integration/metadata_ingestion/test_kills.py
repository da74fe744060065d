"""A run that is killed between two steps: 0 skipped, 0 repeated."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from dagster import DagsterInstance

from moderate_tests.integration.metadata_ingestion import killed_run
from moderate_tests.integration.metadata_ingestion.world import World

pytestmark = pytest.mark.services

TABLES = "CREATE TABLE a (id int); CREATE TABLE b (id int);"
STEPS = 4
"""Two of each of two databases."""


def _run(
    home: Path, kill: int, again: str = ""
) -> subprocess.CompletedProcess[str]:
    arguments = [str(kill), *([again] if again else [])]
    return subprocess.run(
        [sys.executable, str(killed_run.__file__), *arguments],
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def _environment(home: Path) -> Mapping[str, str]:
    return {
        **os.environ,
        "DAGSTER_HOME": str(home),
        # Then it is known which step each kill comes after.
        "METADATA_WORKERS": "1",
    }


def _last_run(home: Path) -> str:
    with DagsterInstance.from_config(str(home)) as instance:
        return instance.get_run_records()[0].dagster_run.run_id


def _check(world: World, names: list[str]) -> None:
    """Each table was sent once, and profiled once."""
    ledger = world.ledger()
    assert ledger["rows"]["table"] == 2 * len(names)
    profiles = ledger["requests"]["PUT /api/v1/tables/{id}/tableProfile"]
    assert profiles == {"200": 2 * len(names)}
    for name in names:
        assert len(world.tables(world.service(name))) == 2
    assert world.ingest().steps() == []


@pytest.mark.parametrize(
    "steps",
    [
        2,
        *(
            pytest.param(n, marks=pytest.mark.full)
            for n in range(STEPS)
            if n != 2
        ),
    ],
)
def test_a_run_after_a_kill_does_exactly_what_is_not_done(
    world: World, tmp_path: Path, steps: int
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    names = [world.database("one", TABLES), world.database("two", TABLES)]
    killed = _run(tmp_path, steps)
    assert killed.returncode < 0, killed.stderr[-2000:]
    done = _run(tmp_path, killed_run.NEVER)
    assert "success True" in done.stdout, done.stderr[-2000:]
    _check(world, names)


@pytest.mark.parametrize(
    "steps",
    [
        # Dagster would leave out all that had not begun.
        1,
        *(
            pytest.param(n, marks=pytest.mark.full)
            for n in range(STEPS)
            if n != 1
        ),
    ],
)
def test_from_failure_does_exactly_what_is_not_done(
    world: World, tmp_path: Path, steps: int
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    names = [world.database("one", TABLES), world.database("two", TABLES)]
    killed = _run(tmp_path, steps)
    assert killed.returncode < 0, killed.stderr[-2000:]
    done = _run(tmp_path, killed_run.NEVER, _last_run(tmp_path))
    assert "success True" in done.stdout, done.stderr[-2000:]
    _check(world, names)
