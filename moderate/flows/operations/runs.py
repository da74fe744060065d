"""How the runs of each flow are: what Dagster knows and the inbox does not."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    MetadataValue,
    RunsFilter,
)

from moderate.flows import tags
from moderate.flows.operations.figures import Metadata

LOOK_LIMIT = 200
"""Runs that are read at the most, by each of the two questions."""

A_DAY = timedelta(days=1)
QUEUED = frozenset({DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED})
AT_WORK = frozenset(
    {
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    }
)


@dataclass(frozen=True)
class RunNumbers:
    """Runs by flow: queued, at work, and failed within a day."""

    queued: Counter[str]
    at_work: Counter[str]
    failed: Counter[str]

    def point(self, flow: str) -> Metadata:
        """Return a flow's numbers, to be plotted."""
        return {
            "runs queued": MetadataValue.int(self.queued[flow]),
            "runs at work": MetadataValue.int(self.at_work[flow]),
            "runs failed in a day": MetadataValue.int(self.failed[flow]),
        }


def count_runs(instance: DagsterInstance) -> RunNumbers:
    """Count runs in two bounded questions.

    Not by tag: that would read the tags of all runs that ever were.
    """
    open_runs = instance.get_runs(
        RunsFilter(statuses=[*QUEUED, *AT_WORK]), limit=LOOK_LIMIT
    )
    failed = instance.get_runs(
        RunsFilter(
            statuses=[DagsterRunStatus.FAILURE],
            updated_after=datetime.now(UTC) - A_DAY,
        ),
        limit=LOOK_LIMIT,
    )
    return RunNumbers(
        queued=Counter(_flow(r) for r in open_runs if r.status in QUEUED),
        at_work=Counter(_flow(r) for r in open_runs if r.status in AT_WORK),
        failed=Counter(_flow(run) for run in failed),
    )


def _flow(run: DagsterRun) -> str:
    return run.tags.get(tags.FLOW, "")
