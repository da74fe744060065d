"""Dagster's storage keeps its connections, and survives their loss."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from dagster import DagsterInstance, RunsFilter, instance_for_test

from moderate.dagster_storage import MAX_OVERFLOW
from moderate.local.services.dagster import POOL_MAX_OVERFLOW
from moderate.local.services.postgres import MAX_CONNECTIONS, Postgres
from moderate_tests.unit.deploy.files import ROOT

pytestmark = pytest.mark.services


@pytest.fixture
def instance(database_url: str, tmp_path: Path) -> Iterator[DagsterInstance]:
    storage = {
        "custom": {
            "module": "moderate.dagster_storage",
            "class": "PooledPostgresStorage",
            "config": {"postgres_url": database_url},
        }
    }
    with instance_for_test(
        overrides={"storage": storage}, temp_dir=str(tmp_path)
    ) as instance:
        yield instance


def _backends(url: str) -> set[int]:
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname ="
            " current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    return {row[0] for row in rows}


def test_a_connection_is_kept_between_calls(
    instance: DagsterInstance, database_url: str
) -> None:
    """The stock storage opens one for every call."""
    instance.get_runs(RunsFilter())
    before = _backends(database_url)
    for _ in range(5):
        instance.get_runs(RunsFilter())
    assert before
    assert _backends(database_url) == before


def test_the_first_call_after_a_restart_of_postgres_works(
    instance: DagsterInstance, postgres_server: Postgres
) -> None:
    """A kept connection that the restart cut must not fail the call."""
    instance.get_runs(RunsFilter())
    postgres_server.restart()
    assert instance.get_runs(RunsFilter()) == []


def _waiting(url: str) -> int:
    """Return how many connections wait for a lock."""
    with psycopg.connect(url) as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname ="
            " current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    return row[0] if row else 0


@pytest.mark.parametrize("is_webserver", [False, True])
def test_a_process_opens_no_more_connections_than_it_may(
    instance: DagsterInstance, database_url: str, *, is_webserver: bool
) -> None:
    """However many of its threads ask at once; all of them are answered."""
    if is_webserver:  # What it does with the option that it is started with.
        instance.optimize_for_webserver(30_000, 300, POOL_MAX_OVERFLOW)
    instance.get_runs(RunsFilter())
    most = 1 + MAX_OVERFLOW
    with ThreadPoolExecutor(3 * most) as pool:
        with psycopg.connect(database_url) as conn:
            conn.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
            asked = [
                pool.submit(instance.get_runs, RunsFilter())
                for _ in range(3 * most)
            ]
            deadline = time.monotonic() + 20
            while _waiting(database_url) < most:
                assert time.monotonic() < deadline, "it may open more"
                time.sleep(0.05)
            time.sleep(1.0)  # in which more than it may would come
            assert _waiting(database_url) == most
        assert [each.result(timeout=60) for each in asked] == [[]] * len(asked)


def test_the_webserver_is_told_to_open_no_more_than_the_others() -> None:
    assert POOL_MAX_OVERFLOW == MAX_OVERFLOW


def test_the_page_of_connections_counts_with_what_the_code_opens() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    section = page.split("## Postgres connections")[1]
    rows = re.findall(
        r"^\| (.*?) \|.*\| \(3\) (\d+) \|", section, re.MULTILINE
    )

    assert len(rows) == 5, "webserver, daemon, code server, worker, intake"
    for process, most in rows:
        assert int(most) == 3 * (1 + MAX_OVERFLOW), process
    sums = [int(each) for each in re.findall(r"\*\*(\d+)\*\*", section)]
    assert max(sums) < MAX_CONNECTIONS
