"""The sensor's side of the inbox: settle, dispatch, request runs.

The order of a tick is: read the source, write rows and cursor in one
transaction, acknowledge the source; then, for all that is due, whoever
brought it::

    settle    free what a dead run holds, cancel what a person cancelled
    dispatch  assign due items to batches, never more than free slots
    request   ask for the run of every batch that no run has bound yet

A tick that dies anywhere is made good by the next one: a batch without a run
is requested again under the same run key.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dagster import DagsterInstance, DagsterRunStatus, RunRequest, RunsFilter

from moderate.flows import tags
from moderate.flows.dead_runs import declare_dead
from moderate.inbox.model import Dispatch, Json, OpenBatch
from moderate.inbox.store import Inbox

CANCELLED_BY_PERSON = frozenset(
    {DagsterRunStatus.CANCELING, DagsterRunStatus.CANCELED}
)
_WAITING = frozenset({DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING})
"""How long a start may take (a pod is scheduled, its image pulled) is for
Dagster's run monitoring to say, which ends a run that never starts. To give
its item away meanwhile would have the next run start as slowly, and so on."""

_UNDER_WAY = frozenset(
    {DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTED}
)
CANCELLED_OUTCOME: Json = {"error": "The analysis was cancelled."}

RunRequestOf = Callable[[Dispatch], RunRequest]


@dataclass(frozen=True)
class Patience:
    """How long a silent batch is left alone.

    Attributes:
        silence: Without a heartbeat, for a running batch.
        grace: Without a run, for a dispatched one.
    """

    silence: timedelta
    grace: timedelta


def whole_seconds(span: timedelta) -> int:
    """Return a sensor's interval as Dagster takes it; a second at least."""
    return max(1, round(span.total_seconds()))


def deadline(budget: timedelta) -> Callable[[], bool]:
    """Return what says whether there is time left of a tick's budget."""
    end = time.monotonic() + budget.total_seconds()
    return lambda: time.monotonic() < end


@dataclass(frozen=True)
class Settled:
    """What a tick's look at silent batches came to."""

    freed: int = 0
    cancelled: int = 0


def settle(
    inbox: Inbox,
    instance: DagsterInstance,
    kinds: Sequence[str],
    patience: Patience,
) -> Settled:
    """Free or cancel the batches that nobody works on any more.

    Dagster is told of the runs that died with them.
    """
    freed = cancelled = 0
    for batch in inbox.silent(
        kinds, silence=patience.silence, grace=patience.grace
    ):
        status = _status(instance, batch)
        if status in CANCELLED_BY_PERSON:
            cancelled += inbox.cancel(
                batch, CANCELLED_OUTCOME, silence=patience.silence
            )
        elif batch.is_bound:
            freed += inbox.free_silent(
                batch,
                f"run {batch.run_id} gave no sign of life for"
                f" {patience.silence.total_seconds():.0f} s",
                silence=patience.silence,
            )
        elif not _may_still_bind(inbox, batch, status, patience):
            freed += inbox.free_unbound(batch, "its run never began")
    declare_dead(inbox, instance, kinds, patience.silence)
    return Settled(freed, cancelled)


class Stopwatch:
    """Times the parts of a tick, one after the other."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._seconds: dict[str, float] = {}

    def lap(self, part: str) -> None:
        """End a part that began when the one before it ended."""
        now = time.monotonic()
        self._seconds[part] = now - self._since
        self._since = now

    def __str__(self) -> str:
        """Say it in a phrase, for the tick's log."""
        return ", ".join(
            f"{part} {seconds:.3f} s"
            for part, seconds in self._seconds.items()
        )


def told(
    read: str,
    settled: Settled,
    wanted: Sequence[RunRequest],
    watch: Stopwatch,
) -> str:
    """Say in a line what a tick did.

    Args:
        read: What was read from the source, in a phrase.
        settled: What silent batches came to.
        wanted: The runs that are asked for.
        watch: How long each part took.
    """
    items = sum(int(each.tags[tags.SIZE]) for each in wanted)
    return (
        f"{read}; freed {settled.freed}, cancelled {settled.cancelled},"
        f" dispatched {items}, runs requested {len(wanted)}; {watch}"
    )


def _status(
    instance: DagsterInstance, batch: OpenBatch
) -> DagsterRunStatus | None:
    """Ask Dagster how the run of a batch stands: a hint, not the truth."""
    if batch.run_id:
        run = instance.get_run_by_id(batch.run_id)
        return run.status if run else None
    runs = instance.get_runs(
        RunsFilter(tags={tags.BATCH: str(batch.id)}), limit=1
    )
    return runs[0].status if runs else None


def _may_still_bind(
    inbox: Inbox,
    batch: OpenBatch,
    status: DagsterRunStatus | None,
    patience: Patience,
) -> bool:
    if status in _WAITING:
        return True  # waiting costs nothing
    if status in _UNDER_WAY:
        return not inbox.is_start_overdue(batch, silence=patience.silence)
    return False


def requests(
    inbox: Inbox,
    makers: Mapping[str, RunRequestOf],
    *,
    age: timedelta = timedelta(),
) -> list[RunRequest]:
    """Dispatch what is due and return the runs that are still to begin.

    Args:
        inbox: The inbox.
        makers: For each kind, what makes the run request of a batch.
        age: Younger batches are left to the fast path.
    """
    inbox.dispatch(makers)
    return [
        makers[dispatch.kind](dispatch)
        for dispatch in inbox.unbound(makers, age=age)
    ]


def run_request(
    dispatch: Dispatch,
    *,
    job: str,
    op: str,
    extra_tags: Mapping[str, str] | None = None,
) -> RunRequest:
    """Build the request of the run that works on a batch.

    The run's config names the batch and nothing else: no secret, no payload.
    """
    return RunRequest(
        run_key=dispatch.run_key,
        job_name=job,
        run_config={"ops": {op: {"config": {"batch_id": dispatch.id}}}},
        tags={**tags.of_dispatch(dispatch), **(extra_tags or {})},
    )
