"""A step that is ended in the middle goes on from there the next time."""

import pytest

from moderate_tests.integration.flows.waiting import meanwhile
from moderate_tests.integration.metadata_ingestion.world import (
    World,
    kill_children,
)

pytestmark = pytest.mark.services

TABLES = [f"t{number}" for number in range(5)]
MADE = 2


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
