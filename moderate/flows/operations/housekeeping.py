"""Prunes what is long over, a bounded piece at a time.

Done items become tombstones, so that nothing brings them back; leases are
forgotten; runs are deleted from Dagster with their events, as Dagster keeps
runs for ever; old points of our own assets too. Runs that worked on no item
have an age of their own, a longer one: an asset's history is in its runs. The
latest of each job stays, so that the UI says how it went and an asset keeps
its latest version. Ticks have a retention of their own in ``dagster.yaml``.

Twice is harmless: what is gone is not found again.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    JobDefinition,
    OpExecutionContext,
    ResourceParam,
    RunsFilter,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import delete, select

from moderate.flows import tags
from moderate.flows.operations.admin import FLOW
from moderate.flows.operations.figures import asset_keys
from moderate.flows.operations.runs import BY_HAND, SomeJob
from moderate.inbox.admin import prune_batches, prune_done
from moderate.inbox.store import Inbox
from moderate.resources import InboxSource
from moderate.settings import OperationsSettings, process_settings

NAME = "housekeeping_job"
CRON = "17 * * * *"
BUDGET = timedelta(minutes=5)
"""After which a housekeeping stops; the next one goes on."""

CHUNK = 500
"""Rows that one statement touches, so that none holds locks for long."""

OVER = (
    DagsterRunStatus.SUCCESS,
    DagsterRunStatus.FAILURE,
    DagsterRunStatus.CANCELED,
)

InTime = Callable[[], bool]


@dataclass(frozen=True)
class Jobs:
    """Whose runs are pruned.

    Attributes:
        inbox: Jobs that work on items: the inbox knows what was done.
        batch: All others: what is known of their work is in their runs.
    """

    inbox: tuple[str, ...]
    batch: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pruned:
    """What a housekeeping came to."""

    items: int = 0
    leases: int = 0
    runs: int = 0
    batch_runs: int = 0
    points: int = 0


def prune(
    inbox: Inbox,
    instance: DagsterInstance,
    jobs: Jobs,
    settings: OperationsSettings,
    in_time: InTime,
) -> Pruned:
    """Prune what is older than the settings say, and no more than they say.

    Args:
        inbox: Whose items and leases are pruned.
        instance: Whose runs and points are.
        jobs: Jobs whose runs are.
        settings: Ages and bounds.
        in_time: Whether to go on.
    """
    return Pruned(
        items=_in_chunks(inbox, prune_done, settings, in_time),
        leases=_in_chunks(inbox, prune_batches, settings, in_time),
        runs=prune_runs(
            instance,
            jobs.inbox,
            age=settings.keep_runs,
            limit=settings.prune_limit,
            in_time=in_time,
        ),
        batch_runs=prune_runs(
            instance,
            jobs.batch,
            age=settings.keep_batch_runs,
            limit=settings.prune_limit,
            in_time=in_time,
        ),
        points=prune_points(
            instance, age=settings.keep_points, in_time=in_time
        ),
    )


def _in_chunks(
    inbox: Inbox,
    prune_kind: Callable[..., int],
    settings: OperationsSettings,
    in_time: InTime,
) -> int:
    total = 0
    for kind in inbox.kinds:
        left = settings.prune_limit
        while left > 0 and in_time():
            wanted = min(CHUNK, left)
            with inbox.transaction() as conn:
                found = prune_kind(
                    conn, kind, age=settings.keep_items, limit=wanted
                )
            total, left = total + found, left - found
            if found < wanted:
                break
    return total


def prune_runs(
    instance: DagsterInstance,
    jobs: Sequence[str],
    *,
    age: timedelta,
    limit: int,
    in_time: InTime,
) -> int:
    """Delete runs of some jobs that ended; the oldest first.

    The latest run of a job that succeeded stays, however old it is.

    Returns:
        How many were deleted.
    """
    before = datetime.now(UTC) - age
    deleted = 0
    for name in jobs:
        if deleted >= limit or not in_time():
            break
        latest = _latest(instance, name)
        records = instance.get_run_records(
            RunsFilter(
                job_name=name, statuses=list(OVER), created_before=before
            ),
            limit=limit - deleted + 1,  # one of them may be the latest
            ascending=True,
        )
        for record in records:
            if deleted >= limit or not in_time():
                return deleted
            if record.dagster_run.run_id != latest:
                instance.delete_run(record.dagster_run.run_id)
                deleted += 1
    return deleted


def _latest(instance: DagsterInstance, job: str) -> str | None:
    """Return the last run of a job that succeeded."""
    found = instance.get_runs(
        RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS]), limit=1
    )
    return found[0].run_id if found else None


def prune_points(
    instance: DagsterInstance, *, age: timedelta, in_time: InTime
) -> int:
    """Delete old events of the assets in group ``operations``.

    They belong to no run, so nothing of Dagster's own deletes them.

    Returns:
        How many were deleted.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0  # no table of events to delete from
    table = SqlEventLogStorageTable
    before = (datetime.now(UTC) - age).replace(tzinfo=None)
    old = (
        select(table.c.id)
        .where(
            table.c.asset_key.in_([key.to_string() for key in asset_keys()]),
            table.c.timestamp < before,
        )
        .limit(CHUNK)
    )
    total = 0
    while in_time():
        with storage.index_connection() as conn:
            ids = [row[0] for row in conn.execute(old)]
            if ids:
                conn.execute(delete(table).where(table.c.id.in_(ids)))
        total += len(ids)
        if len(ids) < CHUNK:
            break
    return total


def build(
    inbox_jobs: Sequence[SomeJob], batch_jobs: Sequence[SomeJob]
) -> tuple[JobDefinition, ScheduleDefinition]:
    """Return the job that prunes, and its schedule.

    Args:
        inbox_jobs: Those that work on items.
        batch_jobs: All others but this one.
    """
    jobs = Jobs(
        inbox=tuple(each.name for each in inbox_jobs),
        batch=(*(each.name for each in batch_jobs), BY_HAND, NAME),
    )

    @op(name="prune", description="Prunes what is long over.")
    def prune_op(
        context: OpExecutionContext, inbox: ResourceParam[InboxSource]
    ) -> None:
        end = time.monotonic() + BUDGET.total_seconds()
        pruned = prune(
            inbox.open(),
            context.instance,
            jobs,
            process_settings().operations,
            lambda: time.monotonic() < end,
        )
        context.add_output_metadata(
            {
                "items emptied": pruned.items,
                "leases forgotten": pruned.leases,
                "runs deleted": pruned.runs,
                "batch runs deleted": pruned.batch_runs,
                "points deleted": pruned.points,
            }
        )

    @job(
        name=NAME,
        description="Prunes items, leases, runs and points that are older"
        " than INBOX_KEEP_SECONDS, RUNS_KEEP_SECONDS,"
        " BATCH_RUNS_KEEP_SECONDS and OPERATIONS_KEEP_SECONDS; at most"
        " PRUNE_LIMIT of each.",
        tags={tags.FLOW: FLOW, **tags.NO_RUN_RETRIES},
        executor_def=in_process_executor,
    )
    def housekeeping_job() -> None:
        prune_op()

    schedule = ScheduleDefinition(
        name="housekeeping_schedule",
        job=housekeeping_job,
        cron_schedule=CRON,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description="Once an hour.",
    )
    return housekeeping_job, schedule
