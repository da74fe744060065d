"""What the inbox's tests share: kinds, short cuts, threads that race."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row

from moderate.inbox import admin
from moderate.inbox.database import Address
from moderate.inbox.lease import Lease
from moderate.inbox.model import (
    Backoff,
    Json,
    Kind,
    NewItem,
    OpenBatch,
    State,
    WorkItem,
)
from moderate.inbox.store import Inbox

Result = TypeVar("Result")

JOB = "job"
PARCEL = "parcel"
WORD = "word"
SILENCE = timedelta(minutes=1)
GRACE = timedelta(minutes=2)
RACERS = 8
LONG_AGO = timedelta(days=1)


def final_word(item: WorkItem) -> NewItem:
    """Tell what an item ended as; the text depends on all that is stored."""
    return NewItem(
        WORD,
        f"{item.id}/{item.dispatch}",
        {
            "state": item.state,
            "payload": item.payload,
            "outcome": item.outcome,
            "error": item.last_error,
        },
    )


KINDS = (
    # One run an item, like an analysis.
    Kind(
        JOB,
        slots=2,
        max_failures=3,
        backoff=Backoff(timedelta(seconds=100), timedelta(seconds=1000)),
        final_word=final_word,
        cancellable=True,
    ),
    # Many items a run, like registering users.
    Kind(PARCEL, batch_size=3, slots=2, max_failures=3, final_word=final_word),
    Kind(WORD, batch_size=100),
)


def record(
    inbox: Inbox, *keys: str, kind: str = JOB, payload: Json | None = None
) -> set[tuple[str, str]]:
    with inbox.transaction() as conn:
        return inbox.record(
            conn, [NewItem(kind, key, payload or {}) for key in keys]
        )


def look(inbox: Inbox, key: str, kind: str = JOB) -> WorkItem:
    """Read the item of a key, which has to exist."""
    with inbox.transaction() as conn:
        item = admin.find_item(conn, kind, key)
    assert item is not None, f"{kind} {key} is lost"
    return item


def states(inbox: Inbox, *keys: str, kind: str = JOB) -> list[State]:
    return [look(inbox, key, kind).state for key in keys]


def words(inbox: Inbox) -> list[WorkItem]:
    """Read all final words, the oldest first."""
    with inbox.transaction() as conn:
        found = admin.list_items(conn, kind=WORD, limit=10_000)
    return sorted(found, key=lambda word: word.id)


def words_of(inbox: Inbox, item: WorkItem) -> list[Json]:
    """Read the texts of the final words of one item."""
    return [
        word.payload
        for word in words(inbox)
        if word.key.startswith(f"{item.id}/")
    ]


def lease_of(
    inbox: Inbox, *keys: str, kind: str = JOB, run: str = "run"
) -> Lease:
    """Record items, dispatch one batch of them, and bind it to a run."""
    record(inbox, *keys, kind=kind)
    inbox.dispatch([kind])
    (batch,) = inbox.unbound([kind])
    lease = inbox.bind(batch.id, run)
    assert lease is not None
    return lease


def batch_of(inbox: Inbox, lease: Lease) -> OpenBatch:
    """Read the open batch of a lease."""
    (found,) = (
        batch
        for batch in inbox.open_batches([lease.kind.name])
        if batch.id == lease.batch_id
    )
    return found


def change(
    where: Address, sql: LiteralString, /, **parameters: Any
) -> list[DictRow]:
    """Run any statement behind the inbox's back and commit it."""
    with psycopg.connect(where.conninfo, row_factory=dict_row) as conn:
        cursor = conn.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def make_due(inbox: Inbox) -> None:
    """Let every wait be over."""
    change(
        inbox.where,
        "UPDATE work_item SET next_attempt_at = clock_timestamp()"
        " WHERE state = 'pending'",
    )


def fall_silent(inbox: Inbox, lease: Lease) -> None:
    """Let a run's last heartbeat be long ago."""
    change(
        inbox.where,
        "UPDATE batch SET heartbeat_at = heartbeat_at - %(ago)s::interval"
        " WHERE id = %(id)s",
        ago=LONG_AGO,
        id=lease.batch_id,
    )


def free(inbox: Inbox, lease: Lease) -> bool:
    """Let the reconcile take a lease whose run fell silent."""
    batch = batch_of(inbox, lease)
    fall_silent(inbox, lease)
    return inbox.free_silent(batch, "no sign of life", silence=SILENCE)


def race(*racers: Callable[[], Result]) -> list[Result]:
    """Call all at once, each in a thread; raise what the first one raised."""
    line = threading.Barrier(len(racers))

    def start(racer: Callable[[], Result]) -> Result:
        line.wait(timeout=60)
        return racer()

    with ThreadPoolExecutor(len(racers)) as pool:
        return list(pool.map(start, racers))


@contextmanager
def meanwhile(call: Callable[[], Result]) -> Iterator[Future[Result]]:
    """Run a call in a thread; it has to end before the block's end."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(call)


@contextmanager
def lock_on(
    where: Address, sql: LiteralString, /, **parameters: Any
) -> Iterator[psycopg.Connection[Any]]:
    """Hold a transaction open that has run ``sql``; undo it at the end."""
    with psycopg.connect(where.conninfo) as conn:
        conn.execute(sql, parameters)
        yield conn
        conn.rollback()


def wait_until(condition: Callable[[], bool], *, seconds: float = 90) -> None:
    """Wait for a condition of another process or thread.

    Raises:
        TimeoutError: It did not come true.
    """
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise TimeoutError(condition)


def blocked(where: Address) -> int:
    """Count this database's sessions that wait for a lock."""
    rows = change(
        where,
        "SELECT count(*) AS sessions FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    return int(rows[0]["sessions"])


def keys(items: Sequence[WorkItem]) -> list[str]:
    return [item.key for item in items]
