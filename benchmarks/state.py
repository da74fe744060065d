"""How fast the inbox remembers keys, and says which of them it knows."""

import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import Row
from moderate.inbox.database import Address
from moderate.inbox.migrate import migrate
from moderate.inbox.model import Kind, NewItem
from moderate.inbox.store import Inbox
from moderate.local.ports import free_port
from moderate.local.services.postgres import Postgres

KEYS = 500
ROUNDS = 40


@contextmanager
def _inbox() -> Iterator[Inbox]:
    """Start a Postgres that is as durable as one in production."""
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as folder:
        Path(folder).chmod(0o711)
        root, password = Path(folder) / "pg", secrets.token_urlsafe()
        with Postgres(root, port=free_port(), password=password) as server:
            where = Address(server.url("inbox"))
            migrate(where)
            yield Inbox(where, [Kind("bench")])


def measure() -> Sequence[Row]:
    """Measure both for many keys at once, as sensors do it."""
    with _inbox() as inbox:
        rounds = [_round(inbox, number) for number in range(ROUNDS)]
    return tuple(
        Row(
            f"{what} the state of {KEYS} keys",
            f"{KEYS * ROUNDS / sum(times):,.0f} keys/s",
            "10,000 keys/s",
            "reference: 51 to 102/s",
        )
        for what, times in zip(
            ("set", "get"), zip(*rounds, strict=True), strict=True
        )
    )


def _round(inbox: Inbox, number: int) -> tuple[float, float]:
    """Return the seconds of setting and of getting new keys."""
    keys = [f"state-{number}-{each}" for each in range(KEYS)]
    begun = time.perf_counter()
    with inbox.transaction() as conn:
        inbox.record(conn, [NewItem("bench", key) for key in keys])
    between = time.perf_counter()
    with inbox.transaction() as conn:
        known = inbox.known_keys(conn, "bench", keys)
    ended = time.perf_counter()
    assert len(known) == KEYS
    return between - begun, ended - between
