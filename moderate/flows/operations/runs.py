"""How the runs of each flow are: what Dagster knows and the inbox does not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dagster import (
    AssetKey,
    AssetsDefinition,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    JobDefinition,
    MetadataValue,
    RunRecord,
    RunsFilter,
)
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition,
)

from moderate.flows import tags

SomeJob = JobDefinition | UnresolvedAssetJobDefinition

BY_HAND = "__ASSET_JOB"
"""What Dagster calls runs of assets that a person picked."""

DATA_SERVICES = "data_services"
SCHEDULED = ("datasets", "postgres_ingestion", "datalake_ingestion")
"""Flows whose work is no items but whole runs, again and again."""

LOOK_LIMIT = 200
"""Runs that are read at the most, by each of the two questions."""

BY_HAND_LIMIT = 50
"""Runs by hand among which one that did a job's work is looked for."""

A_DAY = timedelta(days=1)
QUEUED = frozenset({DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED})
AT_WORK = frozenset(
    {
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    }
)
JUDGED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
"""How a run ends that says how its job is; a cancelled one says nothing."""


@dataclass(frozen=True)
class OurJobs:
    """Which runs are ours: other code locations may share the instance.

    Attributes:
        flows: The flow of each of our jobs.
        assets: What those of our jobs make that make assets.
        asset_flows: The flow of each of our assets.
    """

    flows: Mapping[str, str]
    assets: Mapping[str, frozenset[AssetKey]]
    asset_flows: Mapping[AssetKey, str]

    @classmethod
    def of(
        cls, jobs: Sequence[SomeJob], assets: Sequence[AssetsDefinition]
    ) -> "OurJobs":
        """Read the flows from the jobs' and the assets' tags."""
        return cls(
            flows={
                job.name: (job.tags or {}).get(tags.FLOW, "") for job in jobs
            },
            assets={
                job.name: frozenset(job.selection.resolve(assets))
                for job in jobs
                if isinstance(job, UnresolvedAssetJobDefinition)
            },
            asset_flows={
                spec.key: spec.tags.get(tags.ASSET_FLOW, "")
                for each in assets
                for spec in each.specs
            },
        )

    def flow_of(self, run: DagsterRun) -> str | None:
        """Return the flow of a run; ``None``: it is not ours."""
        if flow := run.tags.get(tags.FLOW):
            return flow
        if run.job_name != BY_HAND:
            return self.flows.get(run.job_name)
        picked = run.asset_selection or self.asset_flows
        found = [self.asset_flows[k] for k in picked if k in self.asset_flows]
        return found[0] if found else None


@dataclass(frozen=True)
class RunNumbers:
    """How the runs of each flow are.

    Attributes:
        queued: Runs that wait.
        at_work: Runs that are at work.
        failed: Runs that failed within a day.
        last: The last run that ended of each job of the scheduled flows, by
            flow.
    """

    queued: Counter[str]
    at_work: Counter[str]
    failed: Counter[str]
    last: Mapping[str, Sequence[RunRecord]] = field(default_factory=dict)

    def last_failed(self, flow: str) -> Sequence[str]:
        """Return which last runs of a flow failed, each in a phrase."""
        runs = [record.dagster_run for record in self.last.get(flow, ())]
        return [
            f"the last run of {run.job_name} failed ({run.run_id[:8]})"
            for run in runs
            if run.is_failure
        ]

    def point(self, flow: str) -> Mapping[str, MetadataValue]:
        """Return a flow's numbers, to be plotted."""
        return {
            "runs queued": MetadataValue.int(self.queued[flow]),
            "runs at work": MetadataValue.int(self.at_work[flow]),
            "runs failed in a day": MetadataValue.int(self.failed[flow]),
        }


def count_runs(instance: DagsterInstance, ours: OurJobs) -> RunNumbers:
    """Count runs in bounded questions.

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
    flow = ours.flow_of
    return RunNumbers(
        queued=Counter(flow(r) or "" for r in open_runs if r.status in QUEUED),
        at_work=Counter(
            flow(r) or "" for r in open_runs if r.status in AT_WORK
        ),
        failed=Counter(flow(run) or "" for run in failed),
        last=_last(instance, ours),
    )


def _last(
    instance: DagsterInstance, ours: OurJobs
) -> Mapping[str, Sequence[RunRecord]]:
    """Return each job's last run that ended; one look for each job."""
    by_hand = _ended(instance, BY_HAND, BY_HAND_LIMIT)
    found: dict[str, list[RunRecord]] = {flow: [] for flow in SCHEDULED}
    for job, flow in ours.flows.items():
        if flow not in found:
            continue
        made = ours.assets.get(job)
        runs = [*_ended(instance, job, 1), *_that_made(made, by_hand)]
        if runs:
            found[flow].append(max(runs, key=lambda each: each.storage_id))
    return found


def _ended(
    instance: DagsterInstance, job: str, limit: int
) -> Sequence[RunRecord]:
    return instance.get_run_records(
        RunsFilter(job_name=job, statuses=list(JUDGED)), limit=limit
    )


def _that_made(
    assets: frozenset[AssetKey] | None, runs: Sequence[RunRecord]
) -> Iterator[RunRecord]:
    """Return the runs that did all that a job does, picked by hand."""
    for each in runs:
        if assets and assets <= (each.dagster_run.asset_selection or set()):
            yield each
