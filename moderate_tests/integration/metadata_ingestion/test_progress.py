"""A step that is ended in the middle goes on from there the next time."""

import pytest

from moderate.flows.metadata_ingestion.plan import DATABASE
from moderate.inbox.metadata_sources import Flow
from moderate_tests.integration.flows.waiting import meanwhile
from moderate_tests.integration.metadata_ingestion.world import (
    World,
    kill_children,
)

pytestmark = pytest.mark.services

TABLES = [f"t{number}" for number in range(5)]
MADE = 2
BATCH = 100
"""Rows that the framework sends at a time."""


@pytest.mark.full
def test_objects_that_arrived_before_a_kill_are_not_sent_again(
    world: World,
) -> None:
    """What was there before all memory is still taken away at the end."""
    world.put("raw/old.csv", b"id\n1\n")
    assert world.ingest("datalake").success
    (source,) = world.memory.sources(Flow.DATALAKE)
    world.memory.forget(source)
    world.remove("raw/old.csv")
    keys = [f"raw/{number:03}.csv" for number in range(BATCH + 20)]
    for key in keys:
        world.put(key, b"id\n1\n")
    world.hold("/api/v1/tables/bulk", skip=1)
    with meanwhile(world.is_held, kill_children):
        run = world.ingest("datalake")
    assert "was killed" in run.failure("raw/")
    assert run.metadata("raw/")["written"] >= BATCH / 2
    world.faults()
    again = world.ingest("datalake")
    assert again.metadata("raw/")["unchanged"] == (
        run.metadata("raw/")["written"]
    )
    rows = again.metadata("raw/")["written"] - len([DATABASE])
    assert world.bulk_rows()["table"] == rows < len(keys) / 2
    service = source.service
    assert world.tables(service) == {
        f'{service}.default.moderate."{key}"' for key in keys
    }


def test_profiles_that_were_made_before_a_kill_are_not_made_again(
    world: World,
) -> None:
    """A step that takes longer than it may would else never be done."""
    name = world.database(
        "shop", "".join(f"CREATE TABLE {each} (id int);" for each in TABLES)
    )
    assert world.ingest().success
    world.sql(
        name, "".join(f"INSERT INTO {each} VALUES (1);" for each in TABLES)
    )
    world.hold("/api/v1/tables/", skip=MADE)

    with meanwhile(world.is_held, kill_children):
        run = world.ingest()
    assert "was killed" in run.failure(name, "profiler")
    assert run.profile(name)["written"] == MADE
    world.faults()
    again = world.ingest()
    assert again.success, again.failures()
    assert again.profile(name)["written"] == len(TABLES) - MADE
    assert again.profile(name)["unchanged"] == MADE
    profiles = world.ledger()["requests"]
    assert profiles["PUT /api/v1/tables/{id}/tableProfile"] == {
        "200": len(TABLES) - MADE
    }
