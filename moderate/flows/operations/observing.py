"""The assets of group ``operations``, and the sensor that adds their points.

The sensor looks by itself, in its tick: a run for each look would cost more
than what is looked at. The same look can be had at once by *Observe* in the
UI, which is a run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from time import time

from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
    AssetsDefinition,
    AssetSpec,
    DefaultSensorStatus,
    ObserveResult,
    ResourceParam,
    RunRecord,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    multi_observable_source_asset,
    sensor,
)
from pydantic import BaseModel, Field, ValidationError

from moderate.flows import tags
from moderate.flows.operations import figures, ingested
from moderate.flows.operations.admin import FLOW
from moderate.flows.operations.figures import Metadata, Verdict
from moderate.flows.operations.runs import (
    DATA_SERVICES,
    SCHEDULED,
    OurJobs,
    RunNumbers,
    count_runs,
)
from moderate.inbox.admin import list_items
from moderate.inbox.cursors import CursorMovedError
from moderate.inbox.model import State, WorkItem
from moderate.inbox.store import Inbox
from moderate.resources import InboxSource, redactor
from moderate.settings import (
    FlowState,
    PostgresSettings,
    Settings,
    process_settings,
)
from moderate.watch.history import keep_probes
from moderate.watch.numbers import Numbers, look

CHECKED_AGAIN = timedelta(hours=6)
"""A verdict that stays the same is told again after so long: each is a row
for ever in Dagster's table of checks."""

WITHOUT_INBOX = FlowState(
    "operations",
    tuple(
        n for n, f in PostgresSettings.variables().items() if f.is_required()
    ),
)
_INTERVAL = process_settings().operations.interval

DESCRIPTION = (
    "How flow {flow} is. Plots: items that wait, are due, dispatched, running,"
    " done in the last hour and dead, the age of the oldest due one, attempts"
    " per done item, and messages at the broker; runs queued, at work, and"
    " failed within a day."
)
RUNS_DESCRIPTION = (
    "How flow {flow} is. Plots: runs queued, at work, and failed within a day;"
    " of each run of a metadata ingestion, parts found, written, unchanged,"
    " removed and failed, its seconds, and the most memory of a step."
)


def _specs() -> Iterator[AssetSpec]:
    for flow in figures.flows():
        by_runs = flow == DATA_SERVICES or flow in SCHEDULED
        told = RUNS_DESCRIPTION if by_runs else DESCRIPTION
        yield _spec(figures.flow_key(flow), told.format(flow=flow))
    yield _spec(
        figures.INBOX, "The inbox's database, and how long a look takes."
    )
    yield _spec(
        figures.PEERS_KEY,
        "Each peer: seconds that a probe took, and the share of the last sixty"
        " probes that failed.",
    )


def _spec(key: AssetKey, description: str) -> AssetSpec:
    return AssetSpec(
        key,
        description=description,
        group_name=figures.GROUP,
        tags={tags.ASSET_FLOW: FLOW},
    )


def _observe(
    context: AssetExecutionContext,
    inbox: ResourceParam[InboxSource],
    our_jobs: ResourceParam[OurJobs],
) -> Iterator[ObserveResult]:
    """Look now, and say what was found of each asset."""
    settings = process_settings()
    numbers = look(settings, inbox.kinds(settings))
    runs = count_runs(context.instance, our_jobs)
    verdicts = list(_verdicts(numbers, runs, settings))
    for key, point in _points(numbers, runs, inbox).items():
        yield ObserveResult(
            asset_key=list(key),
            metadata=point,
            check_results=[
                AssetCheckResult(
                    asset_key=each.asset,
                    check_name=each.check,
                    passed=each.passed,
                    severity=each.severity,
                    description=each.said,
                )
                for each in verdicts
                if tuple(each.asset.path) == key
            ],
        )


_define: Callable[..., AssetsDefinition] = multi_observable_source_asset(
    name="observe_operations",
    specs=list(_specs()),
    check_specs=list(figures.check_specs()),
    description="Looks at the service now.",
)
operations_assets = _define(_observe)


def _verdicts(
    numbers: Numbers, runs: RunNumbers, settings: Settings
) -> Iterator[Verdict]:
    return figures.verdicts(numbers, runs, settings.operations.oldest_due)


def _points(
    numbers: Numbers, runs: RunNumbers, inbox: InboxSource
) -> Mapping[tuple[str, ...], Metadata]:
    dead = _dead_items(numbers, inbox)
    points: dict[tuple[str, ...], Metadata] = {
        tuple(figures.flow_key(flow.flow).path): {
            **figures.state_point(
                flow, numbers.inbox_problem if flow.has_items else ""
            ),
            **({} if numbers.inbox_problem else figures.flow_point(flow)),
            **runs.point(flow.flow),
            **figures.dead_point(dead.get(flow.flow, ()), flow.dead),
        }
        for flow in figures.flows_of(numbers)
    }
    points[tuple(figures.INBOX.path)] = figures.inbox_point(numbers)
    points[tuple(figures.PEERS_KEY.path)] = figures.peers_point(numbers.peers)
    return points


def _dead_items(
    numbers: Numbers, inbox: InboxSource
) -> Mapping[str, Sequence[WorkItem]]:
    """Return the latest dead items of each flow that has some."""
    with_dead = {flow.flow for flow in numbers.flows if flow.dead}
    if not with_dead:
        return {}
    store = inbox.open()
    return {flow: _dead_of(store, flow) for flow in with_dead}


def _dead_of(store: Inbox, flow: str) -> Sequence[WorkItem]:
    redact = redactor().redact
    kinds = [kind.name for kind in store.kinds.values() if kind.flow == flow]
    with store.transaction() as conn:
        found = [
            replace(item, last_error=redact(item.last_error or ""))
            for kind in kinds
            for item in list_items(
                conn, kind=kind, state=State.DEAD, limit=figures.DEAD_SHOWN
            )
        ]
    found.sort(key=lambda item: item.updated_at, reverse=True)
    return found[: figures.DEAD_SHOWN]


class Told(BaseModel):
    """Which verdicts Dagster was told last, and when (seconds since 1970).

    Attributes:
        passed: The verdicts, by name.
        at: When all of them were told.
        runs: By flow, the last run that was summed up.
    """

    passed: dict[str, bool] = Field(default_factory=dict)
    at: float = 0.0
    runs: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def read(cls, cursor: str | None) -> "Told":
        """Read the sensor's cursor; one that is none starts anew."""
        try:
            return cls.model_validate_json(cursor or "{}")
        except ValidationError:
            return cls()

    def news(
        self, verdicts: Sequence[Verdict], now: float
    ) -> Sequence[Verdict]:
        """Return the verdicts that changed, or all after a while."""
        if now - self.at >= CHECKED_AGAIN.total_seconds():
            return verdicts
        return [v for v in verdicts if self.passed.get(v.name) != v.passed]

    def after(
        self,
        verdicts: Sequence[Verdict],
        ended: Mapping[str, RunRecord],
        now: float,
    ) -> "Told":
        """Return what Dagster knows once it was told the news."""
        again = now - self.at >= CHECKED_AGAIN.total_seconds()
        passed = {v.name: v.passed for v in verdicts}
        runs = {flow: run.dagster_run.run_id for flow, run in ended.items()}
        return Told(
            passed={**self.passed, **passed},
            at=now if again else self.at,
            runs={**self.runs, **runs},
        )

    def new_runs(self, runs: RunNumbers) -> Mapping[str, RunRecord]:
        """Return by flow the last run, where it was not summed up yet."""
        return {
            flow: record
            for flow in ingested.FLOWS
            for record in runs.last.get(flow, ())
            if record.dagster_run.run_id != self.runs.get(flow)
        }


@sensor(
    name="operations_sensor",
    minimum_interval_seconds=round(_INTERVAL.total_seconds()),
    default_status=DefaultSensorStatus.RUNNING,
    description="Adds a point to each asset in group `operations`, and tells"
    " of the checks that changed.",
)
def operations_sensor(
    context: SensorEvaluationContext,
    inbox: ResourceParam[InboxSource],
    our_jobs: ResourceParam[OurJobs],
) -> SensorResult | SkipReason:
    """Look, and tell Dagster what is new."""
    settings = process_settings()
    if settings.postgres is None:
        return SkipReason(WITHOUT_INBOX.why_off())
    numbers = look(settings, inbox.kinds(settings))
    _keep(numbers, inbox)
    runs = count_runs(context.instance, our_jobs)
    told, now = Told.read(context.cursor), time()
    verdicts = list(_verdicts(numbers, runs, settings))
    news = told.news(verdicts, now)
    points = _points(numbers, runs, inbox)
    ended = told.new_runs(runs)
    return SensorResult(
        asset_events=[
            *(
                AssetObservation(
                    figures.flow_key(flow),
                    metadata=ingested.run_point(context.instance, record),
                )
                for flow, record in ended.items()
            ),
            *(
                AssetObservation(list(key), metadata=point)
                for key, point in points.items()
            ),
            *(_evaluation(verdict) for verdict in news),
        ],
        skip_reason=SkipReason(_said(numbers, verdicts)),
        cursor=told.after(verdicts, ended, now).model_dump_json(),
    )


def _keep(numbers: Numbers, inbox: InboxSource) -> None:
    """Remember the probes; what can't be kept now is a matter of plots."""
    if numbers.inbox_problem:
        return
    try:
        with inbox.open().transaction() as conn:
            keep_probes(conn, numbers.probes)
    except CursorMovedError:
        return  # the look of another tick will do


def _evaluation(verdict: Verdict) -> AssetCheckEvaluation:
    return AssetCheckEvaluation(
        asset_key=verdict.asset,
        check_name=verdict.check,
        passed=verdict.passed,
        metadata={},
        severity=verdict.severity,
        description=verdict.said,
    )


def _said(numbers: Numbers, verdicts: Sequence[Verdict]) -> str:
    failed = [each for each in verdicts if not each.passed]
    faults = "; ".join(f"{each.name}: {each.said}" for each in failed)
    return f"looked for {numbers.seconds:.2f} s; {faults or 'all is well'}"
