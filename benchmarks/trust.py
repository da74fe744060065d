"""How long backlogs of DIDs and proofs take, with the real daemon."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.report import Row
from moderate.definitions import all_kinds
from moderate.flows.platform_tasks.dids import user_did_item
from moderate.inbox.database import Address
from moderate.inbox.model import NewItem
from moderate.inbox.store import Inbox
from moderate.local.stack import INBOX_DATABASE, Stack
from moderate.settings import load_settings

USERS = 1_000
MANY = 5_000
SHARE = 0.05
PATIENCE_SECONDS = 3600.0
LOOK_SECONDS = 1.0
KEYS = 500
ROUNDS = 40

DONE = """SELECT count(*) FROM work_item
 WHERE kind IN ('user_did', 'asset_proof') AND state = 'done'"""


@dataclass(frozen=True)
class Stage:
    """A stack with an emulator whose trust tasks take 0.2 s."""

    stack: Stack

    @property
    def inbox(self) -> Inbox:
        """The inbox of the stack."""
        url = self.stack.postgres.url(INBOX_DATABASE)
        return Inbox(Address(url), all_kinds(load_settings({})))

    def add_users(self, count: int, prefix: str) -> None:
        """Put users into the inbox, as the sensor does."""
        inbox = self.inbox
        items = [_user(f"{prefix}-{number}") for number in range(count)]
        with inbox.transaction() as conn:
            inbox.record(conn, items)

    def seed(self, count: int, prefix: str) -> None:
        """Let the platform have objects without an owner."""
        body = {"objects": count, "owner": None, "key_prefix": prefix}
        self.control("POST", "seed", json=body)

    def control(self, method: str, what: str, **options: Any) -> Any:
        """Use the emulator's controls."""
        url = f"{self.stack.platform_api.url}/_emulator/{what}"
        answer = httpx.request(method, url, timeout=120, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def ask(self, query: str) -> int:
        """Ask the inbox's database for a number."""
        url = self.stack.postgres.url(INBOX_DATABASE)
        with psycopg.connect(url) as conn:
            row = conn.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0

    def await_done(self, wanted: int) -> float:
        """Wait until so many items are done; return the seconds.

        Raises:
            TimeoutError: They are not when patience ends.
        """
        begun = time.monotonic()
        while self.ask(DONE) < wanted:
            if time.monotonic() - begun > PATIENCE_SECONDS:
                msg = f"{self.ask(DONE)} of {wanted} done"
                raise TimeoutError(msg)
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - begun


@contextmanager
def stage() -> Iterator[Stage]:
    """Start a stack of one's own."""
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as folder:
        Path(folder).chmod(0o711)
        emulator = {"EMULATOR_CONTROL": "true"}
        with Stack(Path(folder) / "stack", emulator=emulator) as stack:
            yield Stage(stack)


def _user(name: str) -> NewItem:
    return user_did_item(
        {"username": name, "keycloak_id": None, "created_at": None}
    )


def measure() -> Sequence[Row]:
    """Measure both backlogs, and the inbox's state."""
    with stage() as here:
        state = _state(here.inbox)
        before = here.ask(DONE)
        here.add_users(USERS, "first")
        seconds = here.await_done(before + USERS)
        calls = here.control("GET", "ledger")["trust_calls_by_user"]
        twice = sum(calls[f"first-{n}"] > 1 for n in range(USERS))
        mixed = _mixed(here)
    return (
        Row(
            f"backlog of {USERS} users",
            f"{seconds:.0f} s ({USERS / seconds:.1f}/s), asked twice: {twice}",
            "5 minutes",
            "reference: 16.7 h",
        ),
        *mixed,
        *state,
    )


def _mixed(here: Stage) -> Sequence[Row]:
    """Let 5% fail for good and 5% twice, in both flows at once."""
    few = int(MANY * SHARE)
    sizes = {"good": MANY - 2 * few, "bad": few, "twice": few}
    here.control(
        "PUT",
        "faults",
        json={
            "tasks": [
                {"pattern": "bad-*"},
                {"pattern": "twice-*", "times": 2},
            ]
        },
    )
    before = here.ask(DONE)
    for prefix, count in sizes.items():
        here.add_users(count, prefix)
        here.seed(count, prefix)
    good = 2 * (MANY - few)
    seconds = here.await_done(before + good)
    ledger = here.control("GET", "ledger")
    return (
        Row(
            f"backlog of {MANY} users and {MANY} objects, 5% fail for good,"
            " 5% twice",
            f"all {good} good ones done after {seconds:.0f} s"
            f" ({good / seconds:.1f}/s)",
            "all good ones done, none starved",
            "reference: 83 h for 5,000 users; five starve all objects",
        ),
        Row(
            "trust tasks in flight at the platform API, at the most",
            str(ledger["max_tasks_in_flight"]),
            "8",
            "its pool hangs at the 16th",
        ),
    )


def _state(inbox: Inbox) -> Sequence[Row]:
    """Measure what the inbox remembers and knows of 500 keys at once."""
    sets, gets = [], []
    for number in range(ROUNDS):
        keys = [f"state-{number}-{each}" for each in range(KEYS)]
        begun = time.perf_counter()
        with inbox.transaction() as conn:
            inbox.record(conn, [NewItem("bench", key) for key in keys])
        between = time.perf_counter()
        with inbox.transaction() as conn:
            known = inbox.known_keys(conn, "bench", keys)
        gets.append(time.perf_counter() - between)
        sets.append(between - begun)
        assert len(known) == KEYS
    return tuple(
        Row(
            f"{what} the state of {KEYS} keys",
            f"{KEYS * ROUNDS / sum(times):.0f} keys/s",
            "10,000 keys/s",
            "reference: 51 to 102/s",
        )
        for what, times in (("set", sets), ("get", gets))
    )
