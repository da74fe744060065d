"""Each run of the metadata ingestion is one point of its flow's asset."""

from collections.abc import Iterator
from typing import Any

import pytest
from dagster import (
    AssetObservation,
    DagsterInstance,
    Failure,
    Output,
    graph,
    instance_for_test,
    op,
)

from moderate.flows.metadata_ingestion import reports
from moderate.flows.metadata_ingestion.ingestion import Report
from moderate.flows.operations import ingested
from moderate.flows.operations.observing import operations_sensor
from moderate.inbox.metadata_sources import Flow, Source, Step
from moderate_tests.integration.operations.conftest import Tick, Watched

pytestmark = pytest.mark.services

MIB = 1024 * 1024
SOURCE = Source(Flow.POSTGRES, "db", "db", "service")
REPORTS = {
    "done": Report(
        Step.METADATA,
        SOURCE,
        found=5,
        unchanged=2,
        written=3,
        removed=1,
        peak_bytes=300 * MIB,
    ),
    "broken": Report(
        Step.PROFILE,
        SOURCE,
        found=4,
        written=3,
        failed=[("a table", "it has no rows")],
        peak_bytes=500 * MIB,
    ),
}


@pytest.fixture
def alone(watched: Watched) -> Iterator[DagsterInstance]:
    """An instance in which nothing ran yet."""
    with instance_for_test() as instance:
        yield instance


def carry_out(instance: DagsterInstance) -> str:
    """Execute a run whose steps tell what the real ones do."""

    @op
    def look() -> Output[None]:
        return Output(None, metadata={"found": 2, "unchanged": 1})

    @op
    def done() -> Output[None]:
        return Output(None, metadata=dict(reports.of_step(REPORTS["done"])))

    @op
    def broken() -> None:
        told = {
            **reports.of_step(REPORTS["broken"]),
            **reports.of_profile(REPORTS["done"]),
        }
        text = "a table failed"
        raise Failure(text, metadata=told, allow_retries=False)

    @graph
    def steps() -> None:
        look()
        done()
        broken()

    run = steps.to_job("postgres_ingestion_job").execute_in_process(
        instance=instance, raise_on_error=False
    )
    return str(run.run_id)


def tick(watched: Watched, cursor: str | None = None) -> Tick:
    return Tick(watched.evaluate(operations_sensor, cursor))


def runs_told(found: Tick) -> list[dict[str, Any]]:
    return [
        {name: value.value for name, value in event.metadata.items()}
        for event in found.result.asset_events
        if isinstance(event, AssetObservation) and "run" in event.metadata
    ]


def test_a_run_is_summed_up_once(alone: DagsterInstance) -> None:
    watched = Watched(alone)
    first = tick(watched)
    assert runs_told(first) == []
    run_id = carry_out(alone)
    second = tick(watched, first.result.cursor)
    (told,) = runs_told(second)
    assert told.pop("seconds") >= 0
    assert told == {
        "run": run_id,
        "found": 14,
        "written": 9,
        "unchanged": 4,
        "removed": 2,
        "failed": 1,
        "peak MiB": 500.0,
    }
    third = tick(watched, second.result.cursor)
    assert runs_told(third) == []
    carry_out(alone)
    assert len(runs_told(tick(watched, third.result.cursor))) == 1


def test_a_run_that_lasted_long_is_read_page_by_page(
    alone: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingested, "PAGE", 1)
    carry_out(alone)
    (told,) = runs_told(tick(Watched(alone)))
    assert told["found"] == 14
