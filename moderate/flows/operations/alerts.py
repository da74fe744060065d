"""Tells a webhook of dead items and of failed runs; off until switched on.

What happened since the last notice is told in one, grouped by what it is and
why. Between two notices ``NOTIFY_QUIET_SECONDS`` pass at least: what happens
meanwhile waits for the next one. How far was told is a cursor of the inbox,
and moves when the webhook has taken the notice: one that is lost on the way
is told again.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    ResourceParam,
    RunRecord,
    RunsFilter,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)
from pydantic import BaseModel, Field

from moderate.connections import given, webhook_of
from moderate.flows.operations.runs import OurJobs
from moderate.inbox.cursors import advance_cursor, read_cursor
from moderate.inbox.database import server_now
from moderate.inbox.measures import DeadItem, dead_since
from moderate.inbox.store import Inbox
from moderate.resources import InboxSource, redactor
from moderate.settings import (
    FlowState,
    Group,
    NotificationSettings,
    PostgresSettings,
    Settings,
    process_settings,
)

ITEMS_CURSOR = "alerts.dead_items"
RUNS_CURSOR = "alerts.failed_runs"
MOST_AT_ONCE = 200
"""Items or runs that one notice is made of; the rest is told in the next."""

MOST_READ = 1_000
"""Failed runs that one look reads, also those of other code locations."""

MOST_GROUPS = 10
MOST_EXAMPLES = 5
REASON_CHARS = 200
OVERLAP = timedelta(seconds=30)
"""Runs are looked for from so long before the last one: they do not appear
in the order of their times."""

INTERVAL_SECONDS = 15
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class Happened:
    """One thing to tell of.

    Attributes:
        what: Kind of the item, or name of the job.
        reason: Why, in a line.
        which: The item's or run's id.
    """

    what: str
    reason: str
    which: str


class Position(BaseModel):
    """How far was told.

    Attributes:
        since: Time of the last thing told; ``None``: nothing was ever.
        last_id: The item's id, where items share their time.
        run_ids: Runs that were told and might be found again.
        sent_at: When the last notice went, by the inbox's clock.
    """

    since: datetime | None = None
    last_id: int = 0
    run_ids: list[str] = Field(default_factory=list)
    sent_at: datetime | None = None


def notice(title: str, happened: Sequence[Happened]) -> Mapping[str, Any]:
    """Make one notice of what happened, grouped by what and why.

    Reasons that differ in numbers only are one group.
    """
    groups: dict[tuple[str, str], list[Happened]] = defaultdict(list)
    for each in happened:
        groups[each.what, _NUMBERS.sub("0", each.reason)].append(each)
    ranked = sorted(groups.values(), key=len, reverse=True)
    lines = [_line(group) for group in ranked[:MOST_GROUPS]]
    if len(ranked) > MOST_GROUPS:
        lines.append(f"and {len(ranked) - MOST_GROUPS} more reasons")
    return {
        "text": "\n".join([f"{len(happened)} {title}", *lines]),
        "alert": title,
        "count": len(happened),
        "groups": [
            {
                "of": group[0].what,
                "reason": group[0].reason,
                "count": len(group),
                "examples": [each.which for each in group[:MOST_EXAMPLES]],
            }
            for group in ranked[:MOST_GROUPS]
        ],
    }


def _line(group: Sequence[Happened]) -> str:
    first = group[0]
    examples = ", ".join(each.which for each in group[:MOST_EXAMPLES])
    more = ", …" if len(group) > MOST_EXAMPLES else ""
    return (
        f"{len(group)} x {first.what}: {first.reason or 'no reason is known'}"
        f" ({examples}{more})"
    )


def _one_line(text: str | None) -> str:
    line = (text or "").strip().splitlines()
    return redactor().redact(line[0] if line else "")[:REASON_CHARS]


@sensor(
    name="alert_dead_items_sensor",
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=DefaultSensorStatus.STOPPED,
    description="Tells a webhook (NOTIFY_WEBHOOK_URL) of items that gave up.",
)
def alert_dead_items_sensor(
    inbox: ResourceParam[InboxSource],
) -> SkipReason:
    """Tell of the items that died since the last notice."""
    settings = process_settings()
    if (off := _why_off(settings)) is not None:
        return SkipReason(off)
    return SkipReason(_tell_items(inbox.open(), _notifications(settings)))


def _tell_items(store: Inbox, settings: NotificationSettings) -> str:
    with store.transaction() as conn:
        cursor = read_cursor(conn, ITEMS_CURSOR, Position())
        now = server_now(conn)
        position = cursor.value
        since = position.since
        dead = (
            dead_since(
                conn,
                list(store.kinds),
                since,
                position.last_id,
                limit=MOST_AT_ONCE,
            )
            if since
            else ()
        )
    if since is None:
        return _begin(store, ITEMS_CURSOR, now)
    if wait := _quiet_for(position, now, settings):
        return wait
    if not dead:
        return "no item died"
    happened = [_of_item(item) for item in dead]
    webhook_of(settings).post(notice("item(s) gave up", happened))
    told = Position(
        since=dead[-1].finished_at, last_id=dead[-1].id, sent_at=now
    )
    with store.transaction() as conn:
        advance_cursor(conn, cursor, told)
    return f"told of {len(dead)} item(s)"


def _of_item(item: DeadItem) -> Happened:
    return Happened(item.kind, _one_line(item.last_error), f"item {item.id}")


@sensor(
    name="alert_failed_runs_sensor",
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=DefaultSensorStatus.STOPPED,
    description="Tells a webhook (NOTIFY_WEBHOOK_URL) of runs that failed.",
)
def alert_failed_runs_sensor(
    context: SensorEvaluationContext,
    inbox: ResourceParam[InboxSource],
    our_jobs: ResourceParam[OurJobs],
) -> SkipReason:
    """Tell of the runs that failed since the last notice."""
    settings = process_settings()
    if (off := _why_off(settings)) is not None:
        return SkipReason(off)
    said = _tell_runs(
        inbox.open(), context.instance, our_jobs, _notifications(settings)
    )
    return SkipReason(said)


def _tell_runs(
    store: Inbox,
    instance: DagsterInstance,
    ours: OurJobs,
    settings: NotificationSettings,
) -> str:
    with store.transaction() as conn:
        cursor = read_cursor(conn, RUNS_CURSOR, Position())
        now = server_now(conn)
    position, since = cursor.value, cursor.value.since
    if since is None:
        return _begin(store, RUNS_CURSOR, now)
    if wait := _quiet_for(position, now, settings):
        return wait
    known = frozenset(position.run_ids)
    page = _page(instance, ours, since - OVERLAP, known)
    if not page.read:
        return "no run failed"
    if page.news:
        happened = [_of_run(instance, record) for record in page.news]
        webhook_of(settings).post(notice("run(s) failed", happened))
    told = Position(
        since=max(since, *(r.update_timestamp for r in page.read)),
        run_ids=sorted((known & _ids(page.near)) | _ids(page.read)),
        sent_at=now if page.news else position.sent_at,
    )
    with store.transaction() as conn:
        advance_cursor(conn, cursor, told)
    others = len(page.read) - len(page.news)
    return f"told of {len(page.news)} run(s); {others} other(s) are not ours"


@dataclass(frozen=True)
class _Page:
    """Failed runs of one look, the first first.

    Attributes:
        near: All that were found, also those that were read before.
        read: Those that were not, whosever; the cursor moves past them.
        news: Ours among them: what is told.
    """

    near: Sequence[RunRecord]
    read: Sequence[RunRecord]
    news: Sequence[RunRecord]


def _page(
    instance: DagsterInstance,
    ours: OurJobs,
    since: datetime,
    known: frozenset[str],
) -> _Page:
    """Look for runs that failed since, but for those that are known.

    What is read is limited, not what is ours of it: else so many failures of
    another code location would hide ours for ever.
    """
    near = instance.get_run_records(
        RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=since),
        limit=MOST_READ + len(known),
        order_by="update_timestamp",
        ascending=True,
    )
    read = [r for r in near if r.dagster_run.run_id not in known][:MOST_READ]
    news = [r for r in read if ours.flow_of(r.dagster_run) is not None]
    if len(news) > MOST_AT_ONCE:
        news = news[:MOST_AT_ONCE]
        read = read[: read.index(news[-1]) + 1]
    return _Page(near, read, news)


def _ids(records: Iterable[RunRecord]) -> frozenset[str]:
    return frozenset(record.dagster_run.run_id for record in records)


def _of_run(instance: DagsterInstance, record: RunRecord) -> Happened:
    run = record.dagster_run
    return Happened(
        run.job_name,
        _one_line(_why_failed(instance, run.run_id)),
        f"run {run.run_id[:8]}",
    )


def _why_failed(instance: DagsterInstance, run_id: str) -> str:
    """Return what the first step that failed raised, or what the run says."""
    kinds = {DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
    records = instance.get_records_for_run(run_id, of_type=kinds, limit=1)
    for record in records.records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        if event.is_step_failure and (data := event.step_failure_data).error:
            return (data.error.cause or data.error).message
        return event.message or ""
    return ""


def _begin(store: Inbox, name: str, now: datetime) -> str:
    """Begin with what happens from now on."""
    with store.transaction() as conn:
        cursor = read_cursor(conn, name, Position())
        advance_cursor(conn, cursor, Position(since=now))
    return "what happens from now on will be told"


def _quiet_for(
    position: Position, now: datetime, settings: NotificationSettings
) -> str:
    """Say how long no notice may be sent; nothing: one may."""
    if position.sent_at is None:
        return ""
    left = position.sent_at + settings.quiet - now
    if left <= timedelta():
        return ""
    return f"a notice went just now; the next one in {left.seconds} s or later"


def _why_off(settings: Settings) -> str | None:
    missing = [
        *_required(NotificationSettings, settings.notifications),
        *_required(PostgresSettings, settings.postgres),
    ]
    return FlowState("alerts", tuple(missing)).why_off() if missing else None


def _required(group: type[Group], found: Group | None) -> Iterable[str]:
    if found is not None:
        return ()
    return [n for n, f in group.variables().items() if f.is_required()]


def _notifications(settings: Settings) -> NotificationSettings:
    return given(settings.notifications, NotificationSettings)
