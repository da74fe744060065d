"""What goes in: steadily, and now and then a lot at once."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import httpx
import psycopg
from keycloak import KeycloakAdmin, KeycloakError

from moderate.errors import ModerateError
from moderate.local.stack import Stack
from moderate_tests.e2e.live import Live
from moderate_tests.faults.workload import stand_in
from moderate_tests.soak.ledger import Flow
from moderate_tests.soak.tables import Tables

REFUSED = (
    ModerateError,
    KeycloakError,
    httpx.HTTPError,
    psycopg.Error,
    # Keycloak's library takes answers of a server that is starting apart
    # without looking; so does who asks Dagster's webserver for a run.
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    AssertionError,  # of what tests look at the webserver with
)
"""What bringing in may raise while something is broken. What is there all
the same is found out in the end: there everything counts that is there."""

MAX_WORK_SECONDS = 3.0
REAL = 0.2
"""The part of the jobs that is analysed for real; a program stands in for
the others, which writes down when two of them work on one job."""

BURST_EVERY = 20
"""Steady steps, on average, until a burst."""


PATIENCE_SECONDS = 90.0
"""For a run of the ingestion, until another one is asked for."""


@dataclass(frozen=True)
class Pace:
    """How fast a flow's load comes.

    Attributes:
        every: Seconds between two, on average.
        burst: How many come at once now and then.
        most_open: More do not come while so many are not done: the load is
            bounded on a slow machine, too.
    """

    every: float
    burst: int
    most_open: int


PACES = {
    Flow.USERS: Pace(every=2.0, burst=30, most_open=200),
    Flow.OBJECTS: Pace(every=2.0, burst=30, most_open=200),
    Flow.JOBS: Pace(every=5.0, burst=8, most_open=25),
    Flow.TABLES: Pace(every=8.0, burst=5, most_open=20),
}


class Users:
    """New users in Keycloak.

    Args:
        stack: Whose Keycloak it is.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._admin: KeycloakAdmin | None = None
        self._number = 0
        #: One of them who is there for sure, if there is any.
        self.sure: str | None = None

    def bring(self, number: int) -> None:
        """Let there be more users.

        Raises:
            KeycloakError, KeyError, TypeError, ValueError: Keycloak did not
                confirm it.
        """
        names = [f"soak-{self._number + n}" for n in range(number)]
        self._number += number
        now = time.time_ns() // 1_000_000
        users = [
            {"username": name, "enabled": True, "createdTimestamp": now}
            for name in names
        ]
        try:
            self._keycloak().partial_import_realm(
                self._stack.env["KEYCLOAK_MAIN_REALM_NAME"],
                {"ifResourceExists": "SKIP", "users": users},
            )
        except BaseException:
            # Its login may be worth nothing any more.
            self._admin = None
            raise
        self.sure = names[-1]

    def _keycloak(self) -> KeycloakAdmin:
        if self._admin is None:
            self._admin = admin(self._stack)
        return self._admin


def admin(stack: Stack) -> KeycloakAdmin:
    """Return Keycloak's administrator, by the straight way."""
    env = stack.keycloak.client_environment()
    return KeycloakAdmin(
        server_url=stack.keycloak.url,
        username=env["KEYCLOAK_ADMIN_USERNAME"],
        password=env["KEYCLOAK_ADMIN_PASSWORD"],
        realm_name=env["KEYCLOAK_MAIN_REALM_NAME"],
        user_realm_name="master",
        timeout=10,
    )


@dataclass
class Load:
    """Brings everything in, each flow in a thread of its own.

    Attributes:
        live: The service.
        seed: What is chosen depends on it.
        open_of: How many items of a flow are not done.
        refused: How often something could not be brought in.
    """

    live: Live
    seed: int
    tables: Tables
    open_of: Callable[[Flow], int]
    refused: Counter[Flow] = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        users = Users(self.live.stack)
        bring: dict[Flow, Callable[[Random, int], None]] = {
            Flow.USERS: lambda _, number: users.bring(number),
            Flow.OBJECTS: lambda random, number: self._seed(
                number, random.choice([users.sure, None])
            ),
            Flow.JOBS: self._post,
            Flow.TABLES: self._change,
        }
        for flow, how in bring.items():
            self._start(f"load of {flow}", self._drive, flow, how)
        self._start("ingestion", self._ingest)

    def stop(self) -> None:
        """Bring nothing in any more; what changed is still ingested."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _start(
        self, name: str, work: Callable[..., None], *arguments: object
    ) -> None:
        thread = threading.Thread(
            target=work, args=arguments, name=name, daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _drive(self, flow: Flow, bring: Callable[[Random, int], None]) -> None:
        pace = PACES[flow]
        random = Random(f"{self.seed}/{flow}")
        while not self._over.wait(random.uniform(0.5, 1.5) * pace.every):
            is_burst = random.randrange(BURST_EVERY) == 0
            if self.open_of(flow) > pace.most_open:
                continue
            try:
                bring(random, pace.burst if is_burst else 1)
            except REFUSED:
                self.refused[flow] += 1

    def _seed(self, number: int, owner: str | None) -> None:
        url = f"{self.live.stack.platform_api.url}/_emulator/seed"
        prefix = f"soak-{time.time_ns()}"
        body = {"objects": number, "owner": owner, "key_prefix": prefix}
        httpx.post(
            url, json=body, timeout=30, trust_env=False
        ).raise_for_status()

    def _post(self, random: Random, number: int) -> None:
        for _ in range(number):
            seconds = random.uniform(0, MAX_WORK_SECONDS)
            is_real = random.random() < REAL
            self.live.post("value" if is_real else stand_in(seconds=seconds))

    def _change(self, _: Random, number: int) -> None:
        for _each in range(number):
            self.tables.change()

    def _ingest(self) -> None:
        """Ask for a run whenever something changed and none is at it."""
        run, asked = "", 0.0
        while not self._over.wait(1.0):
            if not self.open_of(Flow.TABLES):
                continue
            try:
                run, asked = self.ingest_again(run, asked)
            except REFUSED:
                self.refused[Flow.TABLES] += 1

    def ingest_again(self, run: str, asked: float) -> tuple[str, float]:
        """Ask for a run of the ingestion, unless the last one is at it.

        One too many is harmless: it fails, as another one is at it.

        Args:
            run: The last one's id; empty: there was none.
            asked: When that was asked for.

        Returns:
            The same, of the one that is the last now.
        """
        is_late = time.monotonic() - asked > PATIENCE_SECONDS
        if run and not is_late and not self.tables.is_over(run):
            return run, asked
        return self.tables.ingest(), time.monotonic()
