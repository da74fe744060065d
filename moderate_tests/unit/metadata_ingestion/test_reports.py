"""What does not fit into a table is counted."""

from dagster import TableMetadataValue

from moderate.flows.metadata_ingestion.ingestion import Report
from moderate.flows.metadata_ingestion.reports import (
    MOST_SHOWN,
    of_find,
    of_step,
)
from moderate.inbox.metadata_sources import Flow, Source, Step

MORE = MOST_SHOWN + 50
SOURCES = [Source(Flow.POSTGRES, f"s{n}", f"k{n}", "p") for n in range(MORE)]


def _rows(value: object) -> list[tuple[object, ...]]:
    assert isinstance(value, TableMetadataValue)
    return [tuple(record.data.values()) for record in value.records]


def test_unchanged_sources_that_are_too_many_are_counted() -> None:
    unchanged = [(source, 2) for source in SOURCES]
    found = of_find([], unchanged, [], 0.0)
    *shown, last = _rows(found["unchanged sources"])
    assert len(shown) == MOST_SHOWN
    assert last == ("… 50 more", "", 100)
    few = of_find([], unchanged[:MOST_SHOWN], [], 0.0)
    assert len(_rows(few["unchanged sources"])) == MOST_SHOWN


def test_failures_that_are_too_many_are_counted() -> None:
    failed = [(source.name, "why") for source in SOURCES]
    report = Report(Step.METADATA, SOURCES[0], failed=failed)
    *shown, last = _rows(of_step(report)["failures"])
    assert len(shown) == MOST_SHOWN
    assert last == ("… 50 more", "")
