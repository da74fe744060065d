"""What a run of the metadata ingestion came to: one point of its flow.

The steps of a run tell each for itself, and may be in pods of their own; the
UI plots what is told of an asset only. So the run is summed up once it ended,
from its events.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    MetadataValue,
    RunRecord,
)

FLOWS = ("postgres_ingestion", "datalake_ingestion")
SUMS = ("found", "written", "unchanged", "removed", "failed")
"""What each step counts of parts (tables, objects)."""

PEAK = "peak MiB"
"""The memory that a step's framework had at the most."""

BEGINNINGS = ("", "profile: ")
"""Of the names: one op may tell of two steps."""

TOLD_BY = frozenset(
    {DagsterEventType.STEP_OUTPUT, DagsterEventType.STEP_FAILURE}
)
PAGE = 1_000
MOST_PAGES = 10
"""Of the events of one run; what is beyond is not counted."""

Metadata = Mapping[str, MetadataValue]


def run_point(instance: DagsterInstance, record: RunRecord) -> Metadata:
    """Sum up a run that has ended.

    Returns:
        Parts by what became of them, over all steps of the run; seconds of
        the whole run; the most memory (MiB) that one step's framework had.
    """
    run_id = record.dagster_run.run_id
    sums: Counter[str] = Counter()
    peak = 0.0
    for event in _events(instance, run_id):
        told = _metadata_of(event)
        for begin in BEGINNINGS:
            if begin + PEAK not in told:
                continue  # It is no step of a source.
            sums.update({n: int(_number(told, begin + n)) for n in SUMS})
            peak = max(peak, _number(told, begin + PEAK))
    seconds = (record.end_time or 0.0) - (record.start_time or 0.0)
    return {
        "run": MetadataValue.dagster_run(run_id),
        **{name: MetadataValue.int(sums[name]) for name in SUMS},
        "seconds": MetadataValue.float(round(max(seconds, 0.0), 3)),
        PEAK: MetadataValue.float(peak),
    }


def _events(instance: DagsterInstance, run_id: str) -> Iterator[DagsterEvent]:
    cursor = None
    for _ in range(MOST_PAGES):
        page = instance.get_records_for_run(
            run_id, cursor=cursor, of_type=set(TOLD_BY), limit=PAGE
        )
        for record in page.records:
            if event := record.event_log_entry.dagster_event:
                yield event
        if not page.has_more:
            return
        cursor = page.cursor


def _metadata_of(event: DagsterEvent) -> Mapping[str, MetadataValue]:
    """Return what a step told, whether it succeeded or failed."""
    if event.is_step_failure:
        failure = event.step_failure_data.user_failure_data
        return failure.metadata if failure else {}
    return event.step_output_data.metadata


def _number(told: Mapping[str, MetadataValue], name: str) -> float:
    value = told[name].value if name in told else 0
    return float(value) if isinstance(value, int | float) else 0.0
