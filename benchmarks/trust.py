"""How long DIDs and proofs take, on the local stack with the real daemon.

The emulated platform API takes 0.2 s for a trust task.
"""

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg

from benchmarks.report import Row, percentile
from moderate.definitions import all_kinds
from moderate.flows.platform_tasks.dids import user_did_item
from moderate.inbox.database import Address
from moderate.inbox.model import NewItem
from moderate.inbox.store import Inbox
from moderate.local.stack import INBOX_DATABASE, Stack
from moderate.settings import load_settings

if TYPE_CHECKING:
    from keycloak import KeycloakAdmin

NEWCOMERS = 20
LONGEST_PAUSE = 5.0
USERS = 1_000
MANY = 5_000
SHARE = 0.05
PATIENCE_SECONDS = 1800.0
LOOK_SECONDS = 0.2

DONE = """SELECT count(*) FROM work_item
 WHERE kind IN ('user_did', 'asset_proof') AND state = 'done'"""
DONE_USERS = f"{DONE} AND kind = 'user_did' AND key LIKE '{{prefix}}%'"
OPEN = """SELECT count(*) FROM work_item
 WHERE state NOT IN ('done', 'dead', 'cancelled')"""


@dataclass(frozen=True)
class Stage:
    """A stack of one's own."""

    stack: Stack

    @property
    def inbox(self) -> Inbox:
        """The inbox of the stack."""
        url = self.stack.postgres.url(INBOX_DATABASE)
        return Inbox(Address(url), all_kinds(load_settings({})))

    @cached_property
    def keycloak(self) -> "KeycloakAdmin":
        """The realm, as its admin has it."""
        from keycloak import KeycloakAdmin  # noqa: PLC0415  # heavy

        env = self.stack.env
        return KeycloakAdmin(
            server_url=env["KEYCLOAK_SERVER_URL"],
            username=env["KEYCLOAK_ADMIN_USERNAME"],
            password=env["KEYCLOAK_ADMIN_PASSWORD"],
            realm_name=env["KEYCLOAK_MAIN_REALM_NAME"],
            user_realm_name="master",
        )

    def import_users(self, count: int, prefix: str) -> None:
        """Let Keycloak have many users at once."""
        users = [
            {"username": f"{prefix}-{number}", "enabled": True}
            for number in range(count)
        ]
        self.keycloak.partial_import_realm(
            self.stack.env["KEYCLOAK_MAIN_REALM_NAME"],
            {"ifResourceExists": "FAIL", "users": users},
        )

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

    def ledger(self) -> Any:
        """Return what the trust service was asked, in numbers."""
        return self.control("GET", "ledger", params={"calls": "false"})

    def ask(self, query: str) -> int:
        """Ask the inbox's database for a number."""
        url = self.stack.postgres.url(INBOX_DATABASE)
        with psycopg.connect(url) as conn:
            row = conn.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0

    def await_number(self, query: str, wanted: int) -> float:
        """Wait until a query says so; return the seconds.

        Raises:
            TimeoutError: It does not when patience ends.
        """
        begun = time.monotonic()
        while (found := self.ask(query)) != wanted:
            if time.monotonic() - begun > PATIENCE_SECONDS:
                msg = f"{found} of {wanted}"
                raise TimeoutError(msg)
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - begun

    def be_quiet(self) -> None:
        """Wait until the users of the start, and our own, have their DID."""
        self.await_number("SELECT least(1, count(*)) FROM work_item", 1)
        self.await_number(OPEN, 0)


@contextmanager
def stage() -> Iterator[Stage]:
    """Start a stack, and wait until it has nothing to do."""
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as folder:
        Path(folder).chmod(0o711)
        emulator = {"EMULATOR_CONTROL": "true"}
        with Stack(Path(folder) / "stack", emulator=emulator) as stack:
            here = Stage(stack)
            here.be_quiet()
            yield here


def _user(name: str) -> NewItem:
    return user_did_item(
        {"username": name, "keycloak_id": None, "created_at": None}
    )


def newcomers() -> Sequence[Row]:
    """Create users one after the other in a system with nothing else to do."""
    chance = random.Random(1)  # reproducible, not secret
    with stage() as here:
        waits = []
        for number in range(NEWCOMERS):
            time.sleep(chance.uniform(0, LONGEST_PAUSE))
            name = f"newcomer-{number}."
            here.keycloak.create_user({"username": name, "enabled": True})
            waits.append(here.await_number(DONE_USERS.format(prefix=name), 1))
    half, most = percentile(waits, 0.5), percentile(waits, 0.95)
    return (
        Row(
            "new user → DID, quiet system (p50 / p95)",
            f"{half:.1f} / {most:.1f} s",
            "p95 15 s",
            "reference: 5 users in 300 s",
        ),
    )


def backlog() -> Sequence[Row]:
    """Create 1,000 users at once in Keycloak."""
    with stage() as here:
        here.import_users(USERS, "first")
        seconds = here.await_number(DONE_USERS.format(prefix="first-"), USERS)
        ledger = here.ledger()
    return (
        Row(
            f"backlog of {USERS:,} users in Keycloak",
            f"{seconds:.0f} s ({USERS / seconds:.1f}/s), second calls:"
            f" {len(ledger['second_calls'])}",
            "5 minutes",
            "reference: 16.7 h",
        ),
    )


def failures() -> Sequence[Row]:
    """Let 5% fail for good and 5% twice, in both flows at once."""
    few = int(MANY * SHARE)
    sizes = {"good": MANY - 2 * few, "bad": few, "twice": few}
    faults = [{"pattern": "bad-*"}, {"pattern": "twice-*", "times": 2}]
    with stage() as here:
        here.control("PUT", "faults", json={"tasks": faults})
        wanted = here.ask(DONE) + 2 * (MANY - few)
        for prefix, count in sizes.items():
            here.add_users(count, prefix)
            here.seed(count, prefix)
        seconds = here.await_number(DONE, wanted)
        ledger = here.ledger()
    good = 2 * (MANY - few)
    return (
        Row(
            f"backlog of {MANY:,} users and {MANY:,} objects, 5% fail for"
            " good, 5% twice",
            f"all {good:,} good ones done after {seconds:.0f} s"
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
