"""Dagster's storage keeps its connections, and survives their loss."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from dagster import DagsterInstance, RunsFilter, instance_for_test

from moderate.local.services.postgres import Postgres

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
