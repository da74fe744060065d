"""What Keycloak may say, and what it means to us."""

import pytest
from pydantic import SecretStr

from moderate.clients.errors import CredentialsRejected, UnreadableAnswer
from moderate.clients.keycloak import KeycloakAdminClient
from moderate.errors import ModerateError, PermanentError, TemporaryError
from moderate_tests.unit.clients.peer import Peer, Raw, Reply, Request, reset

PASSWORD = "canary-Zx9/secret"
TOKEN_PATH = "/realms/master/protocol/openid-connect/token"


class Keycloak:
    """A scripted server: a login, then a count.

    Attributes:
        count: The answer to the count.
        refresh: The answer to a renewal of the token.
        forgotten: Tokens given out so far are worth nothing.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.login: Reply | Raw | None = None
        self.count: Reply | Raw = Reply(200, 7)
        self.refresh = Reply(400, {"error": "invalid_grant"})
        self.lifetime = 60
        self.logins = 0
        self._valid = ""
        peer.answer = self._answer

    def forget(self) -> None:
        self._valid = ""

    def _answer(self, request: Request) -> Reply | Raw:
        if request.path == TOKEN_PATH:
            return self._token(request)
        if request.headers["authorization"] != f"Bearer {self._valid}":
            return Reply(401, {"error": "HTTP 401 Unauthorized"})
        return self.count

    def _token(self, request: Request) -> Reply | Raw:
        if b"grant_type=refresh_token" in request.body:
            return self.refresh
        if self.login:
            return self.login
        self.logins += 1
        self._valid = f"t{self.logins}"
        return Reply(
            200,
            {
                "access_token": self._valid,
                "refresh_token": "r",
                "expires_in": self.lifetime,
            },
        )


@pytest.fixture
def server(peer: Peer) -> Keycloak:
    return Keycloak(peer)


@pytest.fixture
def client(server: Keycloak) -> KeycloakAdminClient:
    return KeycloakAdminClient(
        server.peer.url, "admin", SecretStr(PASSWORD), "moderate"
    )


def test_users_of_the_realm_are_counted_with_one_login(
    server: Keycloak, client: KeycloakAdminClient
) -> None:
    client.ping()
    assert client.count_users() == client.count_users() == 7
    assert server.logins == 1
    assert server.peer.seen[-1].path == "/admin/realms/moderate/users/count"


def test_a_login_that_keycloak_forgot_is_made_anew_once(
    server: Keycloak, client: KeycloakAdminClient
) -> None:
    """After its restart a token may be in time and yet worth nothing."""
    client.count_users()
    server.forget()
    assert client.count_users() == 7
    assert server.logins == 2


def test_a_token_that_cannot_be_renewed_is_got_anew(
    server: Keycloak, client: KeycloakAdminClient
) -> None:
    server.lifetime = 0
    client.count_users()
    assert client.count_users() == 7


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, CredentialsRejected),
        (401, CredentialsRejected),
        (403, CredentialsRejected),
        (404, TemporaryError),
        (409, PermanentError),
        (429, TemporaryError),
        (500, TemporaryError),
        (503, TemporaryError),
    ],
)
def test_a_refusal_is_a_kind_and_names_the_settings_at_fault(
    server: Keycloak,
    client: KeycloakAdminClient,
    status: int,
    kind: type[ModerateError],
) -> None:
    server.count = Reply(status, {"error": PASSWORD})
    with pytest.raises(kind) as caught:
        client.count_users()
    assert caught.type is kind
    assert ("KEYCLOAK_" in str(caught.value)) == (status in range(400, 405))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("login", "kind"),
    [
        (Reply(401, {"error": "invalid_grant"}), CredentialsRejected),
        (Reply(400, {"error": "invalid_grant"}), CredentialsRejected),
        (Reply(503, text="starting"), TemporaryError),
        (Reply(200, text="<html>"), UnreadableAnswer),
        (Reply(200, {}), UnreadableAnswer),
        (reset, TemporaryError),
    ],
)
def test_a_failed_login_is_told_and_the_next_call_tries_again(
    server: Keycloak,
    client: KeycloakAdminClient,
    login: Reply | Raw,
    kind: type[TemporaryError],
) -> None:
    server.login = login
    for call in (client.ping, client.count_users):
        with pytest.raises(TemporaryError) as caught:
            call()
        assert caught.type is kind
    server.login = None
    assert client.count_users() == 7


@pytest.mark.parametrize("count", [Reply(200, text="<html>"), Reply(200, {})])
def test_a_count_that_is_none_is_unreadable(
    server: Keycloak, client: KeycloakAdminClient, count: Reply
) -> None:
    server.count = count
    with pytest.raises(UnreadableAnswer):
        client.count_users()


def test_a_broken_connection_is_temporary(
    server: Keycloak, client: KeycloakAdminClient
) -> None:
    server.count = reset
    with pytest.raises(TemporaryError, match="count users"):
        client.count_users()


def test_the_client_does_not_show_its_password(
    client: KeycloakAdminClient,
) -> None:
    assert "canary" not in repr(vars(client))


ALICE = {"id": "1", "username": "alice", "createdTimestamp": 5}


def test_a_page_of_users_is_asked_for_briefly(
    server: Keycloak, client: KeycloakAdminClient
) -> None:
    nobody_knows_when = {"id": "2", "username": "b/ö", "enabled": False}
    server.count = Reply(200, [ALICE, nobody_knows_when])
    alice, other = client.list_users(20, 50)
    assert (alice.username, alice.enabled, alice.created_at) == (
        "alice",
        True,
        5,
    )
    assert (other.username, other.enabled, other.created_at) == (
        "b/ö",
        False,
        0,
    )
    assert server.peer.seen[-1].query == {
        "first": ["20"],
        "max": ["50"],
        "briefRepresentation": ["true"],
    }


@pytest.mark.parametrize(
    "page", [{}, [{"id": "1"}], [{**ALICE, "createdTimestamp": "canary"}]]
)
def test_a_page_that_is_none_is_unreadable_and_not_empty(
    server: Keycloak, client: KeycloakAdminClient, page: object
) -> None:
    server.count = Reply(200, page)
    with pytest.raises(UnreadableAnswer) as caught:
        client.list_users(0, 50)
    assert "canary" not in str(caught.value), "it may be personal"


@pytest.mark.parametrize(
    ("version", "filters"),
    [
        ("26.5.6", False),
        ("26.6.0", True),
        ("26.10.1", True),
        ("27.0.0.redhat-00001", True),
        ("999.0.0-SNAPSHOT", True),
        ("9.9.9", False),
        ("unknown", False),
    ],
)
def test_the_version_says_whether_the_server_filters(
    server: Keycloak,
    client: KeycloakAdminClient,
    version: str,
    *,
    filters: bool,
) -> None:
    server.count = Reply(200, {"systemInfo": {"version": version}})
    assert client.filters_by_creation() is filters


@pytest.mark.parametrize(
    "answer", [Reply(403, {"error": "no"}), Reply(200, {"a": 1})]
)
def test_an_account_that_may_not_see_the_version_has_no_filter(
    server: Keycloak, client: KeycloakAdminClient, answer: Reply
) -> None:
    server.count = answer
    assert not client.filters_by_creation()


def test_a_version_that_cant_be_asked_for_now_is_not_a_no(
    server: Keycloak, client: KeycloakAdminClient
) -> None:
    server.count = Reply(503, {"error": "starting"})
    with pytest.raises(TemporaryError):
        client.filters_by_creation()
