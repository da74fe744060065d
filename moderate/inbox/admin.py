"""What people do to items by hand: look, retry, drop, prune."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from moderate.errors import PermanentError
from moderate.inbox import cursors
from moderate.inbox.database import Conn, fetch, fetch_one, run
from moderate.inbox.model import Kind, State, WorkItem
from moderate.inbox.settling import store_end

RETRY = "retry"
DROP = "drop"
FORGET = "forget"


@dataclass(frozen=True)
class Audit:
    """One thing that a person did to an item."""

    action: str
    who: str
    why: str
    at: datetime


@dataclass(frozen=True)
class Deed:
    """One thing that a person did, to an item or to a cursor."""

    item_id: int | None
    cursor: str | None
    action: str
    who: str
    why: str
    at: datetime


@dataclass(frozen=True)
class Count:
    """How many items of a kind are in a state.

    ``oldest_due_seconds`` is how long the oldest of them has been due.
    """

    kind: str
    state: str
    items: int
    oldest_due_seconds: float | None


def list_items(
    conn: Conn,
    *,
    kind: str | None = None,
    state: State | None = None,
    dropped: bool = False,
    limit: int = 100,
) -> Sequence[WorkItem]:
    """List items, the latest change first; tombstones only if asked."""
    rows = fetch(
        conn,
        "list_items",
        kind=kind,
        state=state,
        dropped=dropped,
        limit=limit,
    )
    return [WorkItem(**row) for row in rows]


def get_item(conn: Conn, item_id: int) -> WorkItem | None:
    """Return one item, or ``None`` if there is none of that id."""
    row = fetch_one(conn, "get_item", id=item_id)
    return WorkItem(**row) if row else None


def find_item(conn: Conn, kind: str, key: str) -> WorkItem | None:
    """Return the item of a kind and key, or ``None`` if there is none."""
    row = fetch_one(conn, "get_item_by_key", kind=kind, key=key)
    return WorkItem(**row) if row else None


def audit_of(conn: Conn, item_id: int) -> Sequence[Audit]:
    """Return what people did to an item, in order."""
    return [Audit(**row) for row in fetch(conn, "audit_of", id=item_id)]


def list_audit(conn: Conn, *, limit: int = 100) -> Sequence[Deed]:
    """List what people did, the latest first."""
    return [Deed(**row) for row in fetch(conn, "list_audit", limit=limit)]


def forget_cursor(conn: Conn, name: str, *, who: str, why: str) -> bool:
    """Remove a cursor, so that its reader starts again from the start.

    Returns:
        ``False`` if there was none.
    """
    if not cursors.forget_cursor(conn, name):
        return False
    run(conn, "audit_cursor", name=name, action=FORGET, who=who, why=why)
    return True


def count_items(conn: Conn) -> Sequence[Count]:
    """Count items by kind and state."""
    return [Count(**row) for row in fetch(conn, "count_items")]


def retry_item(conn: Conn, item_id: int, *, who: str, why: str) -> bool:
    """Make an item due with its count of failures reset.

    Returns:
        ``False`` if it is in no state to be retried: at work, done, or
        dropped.
    """
    row = fetch_one(conn, "retry_item", id=item_id)
    if row:
        run(conn, "audit", item_id=item_id, action=RETRY, who=who, why=why)
    return row is not None


def drop_item(
    conn: Conn,
    kinds: Mapping[str, Kind],
    item_id: int,
    *,
    who: str,
    why: str,
) -> bool:
    """Empty an item and leave a tombstone.

    One that was still to be done ends cancelled, and its final word is told.

    Returns:
        ``False`` if it is at work or was dropped before.
    """
    before = fetch_one(conn, "lock_item", id=item_id)
    row = fetch_one(conn, "drop_item", id=item_id)
    if row is None or before is None:
        return False
    run(conn, "audit", item_id=item_id, action=DROP, who=who, why=why)
    if before["state"] == State.PENDING:
        ended = WorkItem(**{**row, "payload": before["payload"]})
        store_end(conn, kinds, ended)
    return True


class WrongStateError(PermanentError):
    """An item's state forbids what was asked for; nothing was changed."""

    @classmethod
    def of(cls, item_id: int, what: str) -> "WrongStateError":
        """Say which item can't be ``what`` (retried, dropped)."""
        return cls(
            f"item {item_id} can't be {what}: it does not exist, is at work,"
            f" or its state forbids it (`moderate inbox show {item_id}`);"
            " nothing was changed"
        )


def retry_items(
    conn: Conn, item_ids: Iterable[int], *, who: str, why: str
) -> None:
    """Retry all of some items, or none.

    Raises:
        WrongStateError: One can't be retried; let the transaction roll back.
    """
    for item_id in item_ids:
        if not retry_item(conn, item_id, who=who, why=why):
            raise WrongStateError.of(item_id, "retried")


def drop_items(
    conn: Conn,
    kinds: Mapping[str, Kind],
    item_ids: Iterable[int],
    *,
    who: str,
    why: str,
) -> None:
    """Drop all of some items, or none.

    Raises:
        WrongStateError: One can't be dropped; let the transaction roll back.
    """
    for item_id in item_ids:
        if not drop_item(conn, kinds, item_id, who=who, why=why):
            raise WrongStateError.of(item_id, "dropped")


def dead_items(conn: Conn, kind: str, *, limit: int) -> Sequence[int]:
    """Return the first dead items of a kind, held by the transaction."""
    rows = fetch(conn, "dead_items", kind=kind, limit=limit)
    return [row["id"] for row in rows]


def prune_done(
    conn: Conn, kind: str, *, age: timedelta, limit: int = 10_000
) -> int:
    """Turn done items past ``age`` into tombstones; say how many."""
    rows = fetch(conn, "prune_done", kind=kind, age=age, limit=limit)
    return len(rows)


def prune_batches(
    conn: Conn, kind: str, *, age: timedelta, limit: int = 10_000
) -> int:
    """Forget the leases of a kind that ended before ``age``; say how many."""
    rows = fetch(conn, "prune_batches", kind=kind, age=age, limit=limit)
    return len(rows)
