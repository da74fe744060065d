"""Runs that died without a word, and that Dagster counts for ever.

A run whose process was killed together with its code server stays STARTED,
and holds a place of the run queue's limits: a few of them and nothing starts
any more. The inbox knows better, as a run that works holds a batch. (Where
the run launcher can ask whether a run lives, Dagster's run monitoring may
find out first; both come to the same end.)

Twice is harmless, and so is an error: a run that is declared dead wrongly
has no batch, so it has no effects left to lose.
"""

from collections.abc import Collection
from datetime import timedelta

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from moderate.flows import tags
from moderate.inbox.database import server_now
from moderate.inbox.store import Inbox

LOOK_LIMIT = 200
"""Runs that one tick looks at; the queue's limits allow far fewer."""

MESSAGE = "The run died: it holds no work item, and gave no sign of life."


def declare_dead(
    inbox: Inbox,
    instance: DagsterInstance,
    kinds: Collection[str],
    silence: timedelta,
) -> int:
    """Tell Dagster of runs that are long over, so that it counts them out.

    Args:
        inbox: Knows which runs hold a batch.
        instance: Dagster.
        kinds: Whose runs are looked at.
        silence: How long nothing may have been heard of a run.

    Returns:
        How many were declared dead.
    """
    started = _started(inbox, instance, kinds, silence)
    if not started:
        return 0
    batches = {
        run: int(each.tags[tags.BATCH]) for run, each in started.items()
    }
    dead = inbox.unemployed(batches, silence=silence)
    return sum(_declare(instance, run_id) for run_id in dead)


def _started(
    inbox: Inbox,
    instance: DagsterInstance,
    kinds: Collection[str],
    silence: timedelta,
) -> dict[str, DagsterRun]:
    """Return the runs of these kinds that began long ago and never ended."""
    with inbox.transaction() as conn:
        now = server_now(conn)
    # Not by tag: that would read the tags of all runs that ever were.
    runs = instance.get_runs(
        RunsFilter(
            statuses=[DagsterRunStatus.STARTED], updated_before=now - silence
        ),
        limit=LOOK_LIMIT,
    )
    return {
        run.run_id: run for run in runs if run.tags.get(tags.KIND) in kinds
    }


def _declare(instance: DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    if run is None or run.status is not DagsterRunStatus.STARTED:
        return False  # It has ended since.
    instance.report_run_failed(run, MESSAGE)
    return True
