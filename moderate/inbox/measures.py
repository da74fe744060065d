"""How much waits, is at work, ended and gave up: read-only questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from moderate.inbox.database import Conn, fetch
from moderate.inbox.model import State

LAG = timedelta(seconds=5)
"""How far ends are looked at behind the clock: one that got its time just now
may not be committed yet, and would be passed over."""


@dataclass(frozen=True)
class KindMeasures:
    """The numbers of a kind.

    Attributes:
        kind: Name of the kind.
        pending: Items that wait, for their time or for another item.
        due: Those of them whose time has come.
        oldest_due_seconds: How long the first item that is due, or waits for
            its run, has been so.
        dispatched: Items that wait for their run.
        running: Items that a run works on.
        dead: Items that gave up and were neither retried nor dropped.
        done_last_hour: Items that were done within the last hour.
        attempts: What those took, all together.
    """

    kind: str
    pending: int
    due: int
    oldest_due_seconds: float
    dispatched: int
    running: int
    dead: int
    done_last_hour: int
    attempts: int


@dataclass(frozen=True)
class Ended:
    """How many items ended, up to a moment.

    Attributes:
        until: The moment; the next count goes on from there.
        counts: Items by kind and state.
    """

    until: datetime
    counts: dict[tuple[str, State], int]


@dataclass(frozen=True)
class DeadItem:
    """An item that gave up."""

    id: int
    kind: str
    key: str
    last_error: str | None
    finished_at: datetime


def measure_kinds(conn: Conn, kinds: Sequence[str]) -> Sequence[KindMeasures]:
    """Measure all kinds in one statement."""
    rows = fetch(conn, "measure_kinds", kinds=list(kinds))
    return [KindMeasures(**row) for row in rows]


def count_ended(
    conn: Conn, kinds: Sequence[str], since: datetime | None
) -> Ended:
    """Count what ended since a moment; ``None`` only sets the moment."""
    rows = fetch(conn, "count_ended", kinds=list(kinds), since=since, lag=LAG)
    counts = {
        (row["kind"], State(row["state"])): row["items"]
        for row in rows
        if row["kind"]
    }
    return Ended(rows[0]["until"], counts)


def dead_since(
    conn: Conn,
    kinds: Sequence[str],
    since: datetime,
    after: int,
    *,
    limit: int = 100,
) -> Sequence[DeadItem]:
    """Return what gave up after a moment, or in it with a later id."""
    rows = fetch(
        conn,
        "dead_since",
        kinds=list(kinds),
        since=since,
        id=after,
        lag=LAG,
        limit=limit,
    )
    return [DeadItem(**row) for row in rows]
