"""Where the server filters by creation time, a new user costs no sweep.

The server is a stand-in: Maven Central, where the tests get Keycloak from,
has releases up to 26.5 only, and the filter came with 26.6. What the stand-in
does is what the filter's authors describe:
https://github.com/keycloak/keycloak/pull/46237.
"""

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from dagster import instance_for_test

from moderate.inbox.database import pool_of
from moderate.local.services.postgres import Postgres
from moderate_tests.integration.flows.keycloak_realm import Ticks, calls
from moderate_tests.integration.flows.platform import environment
from moderate_tests.unit.clients.peer import Peer, Reply, Request, serving

pytestmark = pytest.mark.services

DAY_MS = 86_400_000


class StandIn:
    """A Keycloak that knows users, and filters if its version does.

    Attributes:
        version: What it says of itself; ``None`` hides it from our account.
        users: Creation by username, in milliseconds.
    """

    def __init__(self, peer: Peer) -> None:
        self.version: str | None = "26.6.0"
        self.users: dict[str, int] = {}
        self._peer = peer
        peer.answer = self._answer

    def add(self, name: str, *, age: int = 0) -> None:
        """Add a user who is so many milliseconds old."""
        self.users[name] = int(time.time() * 1_000) - age

    def _answer(self, request: Request) -> Reply:
        if request.path.endswith("/token"):
            return Reply(
                200,
                {
                    "access_token": "t",
                    "refresh_token": "r",
                    "expires_in": 300,
                },
            )
        if request.path.endswith("/serverinfo"):
            return self._info()
        if request.path.endswith("/users/count"):
            return Reply(200, len(self.users))
        return Reply(200, self._listed(request.query))

    def _info(self) -> Reply:
        if self.version is None:
            return Reply(403, {"error": "HTTP 403 Forbidden"})
        return Reply(200, {"systemInfo": {"version": self.version}})

    def _listed(self, query: dict[str, list[str]]) -> list[dict[str, object]]:
        filters = self.version is not None and self.version >= "26.6"
        start = int(query.get("createdAfter", ["0"])[0]) if filters else 0
        first, size = int(query["first"][0]), int(query["max"][0])
        names = sorted(n for n, made in self.users.items() if made >= start)
        return [
            {"id": f"id-{name}", "username": name, "createdTimestamp": made}
            for name in names[first : first + size]
            for made in [self.users[name]]
        ]


@pytest.fixture
def server() -> Iterator[StandIn]:
    with serving() as peer:
        stand_in = StandIn(peer)
        for number in range(120):
            stand_in.add(f"user{number:03}", age=(130 - number) * DAY_MS)
        yield stand_in


@pytest.fixture
def ticks(
    server: StandIn, postgres_server: Postgres, empty_inbox: str
) -> Iterator[Ticks]:
    """Ticks of a service that knows all users."""
    database = f"users_{uuid4().hex}"
    postgres_server.create_database(database, template=empty_inbox)
    settings = {
        **postgres_server.client_environment(),
        "KEYCLOAK_SERVER_URL": server._peer.url,
        "KEYCLOAK_ADMIN_USERNAME": "admin",
        "KEYCLOAK_ADMIN_PASSWORD": uuid4().hex,
        "API_BASE_URL": "http://127.0.0.1:9",
        "API_USERNAME": "nobody",
        "API_PASSWORD": "none",
        "INBOX_DATABASE": database,
        "USER_DIDS_PAGE_SIZE": "50",
    }
    with environment(settings), instance_for_test() as instance:
        ticks = Ticks(instance)
        ticks.until_swept()
        ticks.tick()
        yield ticks
        pool_of(ticks.inbox.where).close()
    postgres_server.drop_database(database)


def pages(asked: list[str]) -> list[str]:
    return [path for path in asked if "first=" in path]


def test_a_new_user_is_found_without_a_sweep(
    ticks: Ticks, server: StandIn
) -> None:
    server.add("nora")
    with calls() as asked:
        ticks.tick()
    assert "nora" in ticks.found
    assert len(asked) <= 3
    (only,) = pages(asked)
    assert "createdAfter=" in only


def test_a_quiet_realm_costs_two_calls(ticks: Ticks) -> None:
    with calls() as asked:
        ticks.tick()
    assert len(asked) == 2


def test_an_import_with_old_times_is_swept_for(
    ticks: Ticks, server: StandIn
) -> None:
    """And so is who was made after Keycloak's clock was set back."""
    server.add("ancient", age=500 * DAY_MS)
    ticks.tick()
    assert "ancient" in ticks.found


@pytest.mark.parametrize("version", ["26.5.6", "25.0.1", None])
def test_an_older_server_is_not_asked_to_filter(
    ticks: Ticks, server: StandIn, version: str | None
) -> None:
    """It would take no notice and return everybody."""
    server.version = version
    ticks.tick()
    ticks.until_swept()
    server.add("nora")
    with calls() as asked:
        ticks.until_swept()
    assert "nora" in ticks.found
    assert not any("createdAfter" in path for path in asked)
