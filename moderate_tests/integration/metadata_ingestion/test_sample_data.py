"""Rows of tables leave only where the setting says so."""

import pytest

from moderate.inbox.metadata_sources import Flow
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.metadata_ingestion.world import World

pytestmark = pytest.mark.services

CSV = b"meter,owner\nm1,Ada\nm2,Grace\n"


def test_rows_of_a_database_leave_only_if_that_is_wanted(
    world: World,
) -> None:
    name = world.database(
        "shop",
        "CREATE TABLE people (id int, name text);"
        "INSERT INTO people VALUES (1, 'Ada'), (2, 'Grace')",
    )
    assert world.ingest().success
    people = f"{world.service(name)}.{name}.public.people"
    assert world.sample(people) is None
    assert not _sent_samples(world)
    with environment({"METADATA_SAMPLE_DATA": "true"}):
        run = world.ingest()
        assert run.success, run.failures()
        # What is switched on applies to what is there already.
        assert sorted(world.sample(people)) == [[1, "Ada"], [2, "Grace"]]
        assert world.ingest().steps() == []


def test_rows_of_an_object_leave_only_if_that_is_wanted(
    world: World,
) -> None:
    world.put("raw/people.csv", CSV)
    assert world.ingest("datalake").success
    service = world.service("raw/", Flow.DATALAKE)
    people = f"{service}.default.moderate.%22raw%2Fpeople.csv%22"
    assert world.sample(people) is None
    assert not _sent_samples(world)
    with environment({"METADATA_SAMPLE_DATA": "true"}):
        run = world.ingest("datalake")
        assert run.success, run.failures()
    assert world.sample(people) == [["m1", "Ada"], ["m2", "Grace"]]


def _sent_samples(world: World) -> list[str]:
    calls = world.ledger()["calls"]
    return [
        call["path"]
        for call in calls
        if call["method"] != "GET" and call["path"].endswith("sampleData")
    ]
