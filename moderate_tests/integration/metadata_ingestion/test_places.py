"""What is not at another server, or in another bucket, is not gone."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from moderate.flows.metadata_ingestion import job
from moderate.flows.metadata_ingestion.finding import Found, find
from moderate.flows.metadata_ingestion.ingestion import Ingestion
from moderate.inbox.metadata_sources import Flow, Source
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.metadata_ingestion.test_prefixes import CSV
from moderate_tests.integration.metadata_ingestion.world import World

pytestmark = pytest.mark.services


def test_in_another_bucket_nothing_is_gone_until_a_person_says_so(
    world: World,
) -> None:
    """A wrong S3_BUCKET_NAME would else remove all, and be green."""
    world.put("raw/a.csv", CSV)
    assert world.ingest("datalake").success
    service = world.service("raw/", Flow.DATALAKE)
    had = world.tables(service)
    assert had
    other = f"other-{uuid4().hex}"
    world.s3.client().create_bucket(Bucket=other)
    with environment({"S3_BUCKET_NAME": other}):
        run = world.ingest("datalake")
        assert run.success, run.failures()
        assert run.steps() == []
        assert run.look()["left out"] == 1
        assert "moved: true" in run.look()["notes"]
        assert world.ledger()["writes"] == 0
    assert world.tables(service) == had
    assert world.ingest("datalake").steps() == []
    with environment({"S3_BUCKET_NAME": other}):
        run = world.ingest("datalake", moved=True)
        assert run.success, run.failures()
    assert world.tables(service) == set()
    assert not world.memory.sources(Flow.DATALAKE)


def test_a_database_of_another_server_is_left_out_and_stays(
    world: World,
) -> None:
    other = Source(Flow.POSTGRES, "other", "other", "p-other", "elsewhere")
    world.memory.add([other])
    run = world.ingest()
    assert run.success, run.failures()
    assert run.steps() == []
    assert run.look()["left out"] >= 1
    assert "other' is left out: was found at another" in run.look()["notes"]
    assert world.memory.sources(Flow.POSTGRES) == [other]


def test_a_step_that_is_begun_later_removes_nothing_of_another_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the settings changed between a run and its re-execution."""
    name = world.database("shop", "CREATE TABLE a (id int)")

    def and_then_elsewhere(ingestion: Ingestion, *a: Any, **k: Any) -> Found:
        found = find(ingestion, *a, **k)
        ingestion.memory.move(Flow.POSTGRES, [name], "elsewhere")
        return replace(found, changed=world.memory.sources(Flow.POSTGRES))

    monkeypatch.setattr(job, "find", and_then_elsewhere)
    run = world.ingest()
    assert "was found at another server" in run.failure(name)
    assert world.ledger()["writes"] == 0


def test_what_was_known_before_places_were_kept_is_taken_for_here(
    world: World,
) -> None:
    world.put("many/a.csv", CSV)
    world.put("many/b.csv", CSV)
    world.memory.add([Source(Flow.DATALAKE, "many/", "many", "many")])
    # What it then fails for is of no account.
    with environment({"METADATA_MAX_OBJECTS": "1"}):
        run = world.ingest("datalake")
    assert "over 1 objects" in str(run.failures())
    (known,) = world.memory.sources(Flow.DATALAKE)
    assert known.place
