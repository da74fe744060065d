"""Whether a tick and a look cost more when a million items are over."""

import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

import psycopg

from benchmarks.report import Row
from benchmarks.scratch import scratch
from moderate.inbox import admin
from moderate.inbox.database import Address, pool_of
from moderate.inbox.measures import measure_kinds
from moderate.inbox.migrate import migrate
from moderate.inbox.model import Kind, NewItem
from moderate.inbox.store import Inbox
from moderate.local.ports import free_port
from moderate.local.services.postgres import Postgres

KIND = "user_did"
PAST = 1_000_000
BATCH = 500
ROUNDS = 21
AGE = timedelta(days=30)
LONG = timedelta(minutes=5)

# Done within the last 60 days, evenly; every second one is a tombstone, as if
# half of them had been pruned already. Each had a lease of its own batch.
FILL = """
INSERT INTO work_item (kind, key, payload, state, dispatch, created_at,
                       finished_at, dropped_at)
SELECT %(kind)s, 'past-' || n,
       CASE WHEN n %% 2 = 0 THEN '{}'::jsonb
            ELSE jsonb_build_object('username', 'past-' || n) END,
       'done', 1, moment, moment, CASE WHEN n %% 2 = 0 THEN moment END
  FROM generate_series(1, %(past)s) AS n,
       LATERAL (SELECT clock_timestamp() - interval '60 days' * n / %(past)s
                    - interval '61 minutes' AS moment) AS times;
"""
FILL_LEASES = """
INSERT INTO batch (kind, state, run_key, run_id, created_at, closed_at,
                   closed_why)
SELECT %(kind)s, 'closed', 'past:' || n, gen_random_uuid()::text, moment,
       moment, 'finished'
  FROM generate_series(1, %(past)s / 25) AS n,
       LATERAL (SELECT clock_timestamp()
                    - interval '60 days' * n / (%(past)s / 25) AS moment) AS t
"""


@contextmanager
def inbox() -> Iterator[Inbox]:
    """Start a Postgres that writes to disk as it should."""
    with postgres() as server:
        where = Address(server.url("moderate_inbox"))
        migrate(where)
        try:
            yield Inbox(where, [Kind(KIND, batch_size=25, slots=4)])
        finally:
            pool_of(where).close()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a Postgres that is all of a benchmark."""
    password = secrets.token_urlsafe()
    with (
        scratch() as folder,
        Postgres(folder / "pg", port=free_port(), password=password) as server,
    ):
        yield server


def fill(store: Inbox) -> float:
    """Make a million items that are over; return the seconds it took."""
    begun = time.monotonic()
    values = {"kind": KIND, "past": PAST}
    with psycopg.connect(store.where.conninfo, autocommit=True) as conn:
        conn.execute(FILL, values)
        conn.execute(FILL_LEASES, values)
        conn.execute("VACUUM ANALYZE")
    return time.monotonic() - begun


def timed(act: Callable[[], object]) -> float:
    """Return the median of some rounds, in milliseconds."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        act()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1000


def acts(store: Inbox) -> dict[str, Callable[[], object]]:
    """Return what ticks, looks and housekeepings do, by name."""
    numbers = count()

    def intake() -> None:
        start = next(numbers) * BATCH
        keys = [f"new-{start + n}" for n in range(BATCH)]
        with store.transaction() as conn:
            store.known_keys(conn, KIND, keys)
            store.record(conn, [NewItem(KIND, key) for key in keys])

    def seen_again() -> None:
        keys = [f"past-{n}" for n in range(1, BATCH + 1)]
        with store.transaction() as conn:
            store.known_keys(conn, KIND, keys)

    def idle_tick() -> None:
        store.silent([KIND], silence=LONG, grace=LONG)
        store.dispatch([KIND])
        store.unbound([KIND])

    def look() -> None:
        with store.transaction() as conn:
            measure_kinds(conn, [KIND])

    def nothing_to_prune() -> None:
        with store.transaction() as conn:
            admin.prune_done(conn, KIND, age=timedelta(days=90), limit=500)
            admin.prune_batches(conn, KIND, age=timedelta(days=90), limit=500)

    return {
        f"intake of {BATCH} new items": intake,
        f"{BATCH} known keys": seen_again,
        "settle, dispatch, request": idle_tick,
        "numbers of the UI and the metrics": look,
        "housekeeping with nothing to do": nothing_to_prune,
    }


def measure() -> Sequence[Row]:
    """Time each act on an empty inbox and on a full one."""
    with inbox() as store:
        before = {name: timed(act) for name, act in acts(store).items()}
        with psycopg.connect(store.where.conninfo) as conn:
            conn.execute("TRUNCATE work_item, batch CASCADE")
        seconds = fill(store)
        after = {name: timed(act) for name, act in acts(store).items()}
        pruning = timed(lambda: prune(store))
        size = size_of(store)
    rows = [
        Row(
            f"{name}, {PAST:,} items over",
            f"{after[name]:.1f} ms (empty inbox: {before[name]:.1f} ms)",
            "flat",
        )
        for name in before
    ]
    return [
        *rows,
        Row("emptying 500 done items", f"{pruning:.1f} ms", "under 1 s"),
        Row(f"size of {PAST:,} items over", size, ""),
        Row("(making them took)", f"{seconds:.0f} s", ""),
    ]


def prune(store: Inbox) -> None:
    """Empty five hundred of the items that are old enough."""
    with store.transaction() as conn:
        if admin.prune_done(conn, KIND, age=AGE, limit=500) != 500:
            msg = "there was nothing to prune"
            raise RuntimeError(msg)


def size_of(store: Inbox) -> str:
    """Say how large the table and its indexes are."""
    with psycopg.connect(store.where.conninfo) as conn:
        row = conn.execute(
            "SELECT pg_size_pretty(pg_table_size('work_item')),"
            " pg_size_pretty(pg_indexes_size('work_item'))"
        ).fetchone()
    return f"{row[0]} and {row[1]} of indexes" if row else ""
