"""What it costs to look for users, and how long it takes to read all."""

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import requests
from pydantic import SecretStr

from benchmarks.report import Row, spread
from benchmarks.scratch import scratch
from moderate.clients.keycloak import KeycloakAdminClient
from moderate.flows.user_dids import plan
from moderate.flows.user_dids.discovery import Found, discover
from moderate.flows.user_dids.plan import Rules
from moderate.inbox.cursors import forget_cursor
from moderate.inbox.database import Address
from moderate.inbox.migrate import migrate
from moderate.inbox.model import Kind
from moderate.inbox.store import Inbox
from moderate.local.install import JAVA, locate
from moderate.local.ports import free_port
from moderate.local.realm import REALM, SECRET_NAMES
from moderate.local.services.keycloak import SHARED_FOLDERS, Keycloak
from moderate.local.services.postgres import Postgres

SIZES = (100, 10_000, 50_000)
PAGE_SIZES = (1_000, 5_000)
# Pages of 100 take 446 s for 50,003 users, and tell nothing new.
QUIET_TICKS = 30
RULES = Rules(
    page_size=1_000,
    overlap=timedelta(minutes=10),
    reconcile_interval=timedelta(hours=1),
)
INSERT = """INSERT INTO USER_ENTITY
 (ID, EMAIL_CONSTRAINT, EMAIL_VERIFIED, ENABLED, REALM_ID, USERNAME,
  CREATED_TIMESTAMP, NOT_BEFORE)
SELECT CAST(RANDOM_UUID() AS VARCHAR), CAST(RANDOM_UUID() AS VARCHAR),
       FALSE, TRUE, (SELECT ID FROM REALM WHERE NAME = '{realm}'),
       'user' || LPAD(CAST(X AS VARCHAR), 6, '0'), 1700000000000 + X, 0
  FROM SYSTEM_RANGE({first}, {last})"""


@dataclass(frozen=True)
class Stage:
    """A Keycloak and an inbox of one's own."""

    keycloak: Keycloak
    client: KeycloakAdminClient
    inbox: Inbox

    def look(self, rules: Rules = RULES) -> Found:
        """Look for users once, with all the time that it takes."""
        return discover(self.client, self.inbox, rules, in_time=lambda: True)

    def sweep(self, rules: Rules) -> float:
        """Read all users anew; return the seconds."""
        with self.inbox.transaction() as conn:
            forget_cursor(conn, plan.CURSOR)
        return _timed(lambda: self.look(rules))

    def fill(self, first: int, last: int) -> None:
        """Write users into the stopped server's database.

        By its own interface 50,000 take an hour.
        """
        self.keycloak.stop()
        home = self.keycloak.folder / "home"
        (jar,) = (home / SHARED_FOLDERS[0]).rglob("com.h2database.h2-*.jar")
        database = home / "data" / "h2" / "keycloakdb"
        subprocess.run(
            [
                *(str(locate(JAVA)), "-cp", str(jar), "org.h2.tools.Shell"),
                *("-url", f"jdbc:h2:file:{database};NON_KEYWORDS=VALUE"),
                *("-user", "", "-password", "", "-sql"),
                INSERT.format(realm=REALM, first=first, last=last),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        self.keycloak.start()
        self.client.ping()


@contextmanager
def stage() -> Iterator[Stage]:
    """Start a Keycloak and a Postgres."""
    password = secrets.token_urlsafe()
    with (
        scratch() as folder,
        Postgres(folder / "pg", port=free_port(), password=password) as pg,
        Keycloak(
            folder / "kc",
            port=free_port(),
            admin_password=password,
            realm_secrets=dict.fromkeys(SECRET_NAMES, password),
        ) as keycloak,
    ):
        where = Address(pg.url("inbox"))
        migrate(where)
        client = KeycloakAdminClient(
            keycloak.url, "admin", SecretStr(password), REALM
        )
        yield Stage(keycloak, client, Inbox(where, [Kind("user_did")]))


def measure() -> Sequence[Row]:
    """Measure quiet ticks and sweeps of realms of several sizes."""
    rows: list[Row] = []
    with stage() as here:
        filled = 0
        for size in SIZES:
            here.fill(filled + 1, size)
            filled = size
            first = here.sweep(RULES)
            rows += [_quiet(here, size), _first_sweep(size, first)]
        rows += [
            Row(
                f"sweep, {filled} known users, pages of {page}",
                f"{here.sweep(replace(RULES, page_size=page)):.1f} s",
                "reported",
            )
            for page in PAGE_SIZES
        ]
    return rows


def _quiet(here: Stage, size: int) -> Row:
    with counted_calls() as calls:
        ticks = [_timed(here.look) for _ in range(QUIET_TICKS)]
    return Row(
        f"quiet look, {size} users",
        f"{spread(ticks)}, {len(calls) / QUIET_TICKS:.1f} HTTP calls",
        "0.2 s, at most 3 calls, the same for all sizes",
        "reference: 52 calls at 5,000",
    )


def _first_sweep(size: int, seconds: float) -> Row:
    return Row(
        f"sweep, {size} new users, pages of {RULES.page_size}",
        f"{seconds:.1f} s",
        "reported",
    )


@contextmanager
def counted_calls() -> Iterator[list[str]]:
    """Note what this process asks of HTTP servers, logins included."""
    asked: list[str] = []
    original = requests.Session.send

    def send(
        self: requests.Session,
        request: requests.PreparedRequest,
        **options: object,
    ) -> requests.Response:
        asked.append(str(request.path_url))
        return original(self, request, **options)

    requests.Session.send = send  # type: ignore[method-assign]
    try:
        yield asked
    finally:
        requests.Session.send = original  # type: ignore[method-assign]


def _timed(work: Callable[[], Found]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
