"""A run that is killed at a step's boundary: 0 skipped, 0 repeated."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance

from moderate_tests.integration.metadata_ingestion import killed_run
from moderate_tests.integration.metadata_ingestion.world import World

pytestmark = pytest.mark.services

TABLES = "CREATE TABLE a (id int); CREATE TABLE b (id int);"
STEPS = 4
"""Two of each of two databases."""

BOUNDARIES = (
    "look",
    "found",
    *(
        f"{kind}:{step}"
        for kind in ("begin", "stored", "told")
        for step in range(1, STEPS + 1)
    ),
)

RESUMED = tuple(p for p in BOUNDARIES if not p.startswith("told"))
"""Where a step was at work: with none Dagster refuses to resume, in red."""


def _points(points: Sequence[str], in_short: Sequence[str]) -> Sequence[Any]:
    """Return points to kill at; those not ``in_short`` are for a full run."""
    full = dict.fromkeys({*points} - {*in_short}, pytest.mark.full)
    return [pytest.param(p, marks=full.get(p, ())) for p in points]


def _run(
    home: Path, point: str, again: str = ""
) -> subprocess.CompletedProcess[str]:
    arguments = [point, *([again] if again else [])]
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


def _killed(home: Path, point: str) -> None:
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    killed = _run(home, point)
    assert killed.returncode < 0, killed.stderr[-2000:]


def _finish(home: Path, again: str = "") -> None:
    done = _run(home, killed_run.NEVER, again)
    assert "success True" in done.stdout, done.stderr[-2000:]


def _last_run(home: Path) -> str:
    with DagsterInstance.from_config(str(home)) as instance:
        return instance.get_run_records()[0].dagster_run.run_id


def _check_nothing_skipped(world: World, names: list[str]) -> None:
    for name in names:
        assert len(world.tables(world.service(name))) == 2
    assert world.ingest().steps() == []


def _check_nothing_repeated(world: World, names: list[str]) -> None:
    """Each table was sent once, and profiled once."""
    ledger = world.ledger()
    assert ledger["rows"]["table"] == 2 * len(names)
    profiles = ledger["requests"]["PUT /api/v1/tables/{id}/tableProfile"]
    assert profiles == {"200": 2 * len(names)}


@pytest.mark.parametrize(
    "point", _points(BOUNDARIES, ["look", "found", "stored:2", "told:1"])
)
def test_a_run_after_a_kill_does_exactly_what_is_not_done(
    world: World, tmp_path: Path, point: str
) -> None:
    names = [world.database("one", TABLES), world.database("two", TABLES)]
    _killed(tmp_path, point)
    _finish(tmp_path)
    _check_nothing_repeated(world, names)
    _check_nothing_skipped(world, names)


# By itself Dagster would leave out all that had not begun.
@pytest.mark.parametrize("point", _points(RESUMED, ["begin:2"]))
def test_from_failure_does_exactly_what_is_not_done(
    world: World, tmp_path: Path, point: str
) -> None:
    names = [world.database("one", TABLES), world.database("two", TABLES)]
    _killed(tmp_path, point)
    _finish(tmp_path, _last_run(tmp_path))
    _check_nothing_repeated(world, names)
    _check_nothing_skipped(world, names)


@pytest.mark.full
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_what_arrived_and_was_not_remembered_is_sent_again(
    world: World, tmp_path: Path, step: int
) -> None:
    """Nobody can know that it arrived; the same again changes nothing."""
    names = [world.database("one", TABLES), world.database("two", TABLES)]
    _killed(tmp_path, f"written:{step}")
    _finish(tmp_path)
    _check_nothing_skipped(world, names)
