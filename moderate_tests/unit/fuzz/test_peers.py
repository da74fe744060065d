"""Whatever a peer answers, a client returns a value or one of our errors."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from moderate.clients.data_keys import VaultKeys
from moderate.clients.keycloak import KeycloakAdminClient, KeycloakUser
from moderate.clients.open_metadata import OpenMetadata
from moderate.clients.platform_api import PlatformApi
from moderate_tests.unit.clients.gateway import CALLS, JOB, OBJECT, TASK
from moderate_tests.unit.clients.peer import Peer, serving
from moderate_tests.unit.fuzz.inputs import (
    Answer,
    answers,
    ends_as_promised,
    raw,
)

TOKEN = {
    "access_token": "a.b.c",
    "refresh_token": "d.e.f",
    "expires_in": 60,
    "refresh_expires_in": 60,
}
TOKEN_PATHS = ("/api/token", "/realms/master/protocol/openid-connect/token")
GOOD_TOKEN = Answer(
    200,
    {"content-type": "application/json"},
    b'{"access_token": "a.b.c", "refresh_token": "d", "expires_in": 60}',
)
PLATFORM_SAYS = (
    JOB,
    OBJECT,
    TASK,
    [OBJECT],
    {"task_id": 4},
    {"user_meta": {"username": "a", "trust_did": "did:x"}},
    {"obj": {**OBJECT, "proof_id": "p"}},
    {"detail": "try again later"},
    {"error": "access_denied", "error_description": "no"},
)
USER = {
    "id": "5f",
    "username": "alice",
    "enabled": True,
    "createdTimestamp": 1_600_000_000_000,
}
KEYCLOAK_SAYS: tuple[Any, ...] = (
    [USER, USER],
    3,
    {"systemInfo": {"version": "26.5.6"}},
    {"error": "invalid_grant", "error_description": "no"},
)
KEYCLOAK_CALLS: dict[str, Callable[[KeycloakAdminClient], object]] = {
    "ping": lambda client: client.ping(),
    "count": lambda client: client.count_users(enabled=True) + 0,
    "list": lambda client: client.list_users(0, 50),
    "find": lambda client: client.find_user("alice"),
    "created": lambda client: client.list_created_after(5, 50),
    "version": lambda client: client.version() + "",
    "filters": lambda client: client.filters_by_creation(),
    "service account": lambda client: client.is_service_account(
        KeycloakUser(id="5f", username="alice")
    ),
}
SERVICES_SAY = (
    {"data": [{"id": "1", "name": "a"}], "paging": {"total": 1}},
    {"id": "1", "name": "a"},
    {"code": 404, "message": "not found"},
)
VAULT_SAYS = (
    {"data": {"data": {"key": "k"}, "metadata": {}}},
    {"data": {"key": ["k", "l"]}},
    {"errors": ["permission denied"]},
    {"capabilities": ["read"]},
    {"sealed": False, "version": "2.3.1"},
    {"data": {"metadata": {"deletion_time": "2024-01-01T00:00:00Z"}}},
)


FEWER = settings(max_examples=settings().max_examples // 4)
"""Each is a few requests, through libraries that take their time."""


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with serving() as running:
        yield running


def say(peer: Peer, said: Answer, login: Answer = GOOD_TOKEN) -> None:
    peer.answer = lambda request: (
        raw(login) if request.path in TOKEN_PATHS else raw(said)
    )
    peer.seen.clear()


def transport(login: Answer, said: Answer) -> httpx.MockTransport:
    """Return the network on which everybody answers the same."""

    def answer(request: httpx.Request) -> httpx.Response:
        told = login if request.url.path in TOKEN_PATHS else said
        return httpx.Response(
            told.status, headers=dict(told.headers), content=told.body
        )

    return httpx.MockTransport(answer)


def on_platform(call: str, login: Answer, said: Answer) -> None:
    with PlatformApi(
        "http://platform",
        "workflows",
        SecretStr("password"),
        transport=transport(login, said),
    ) as api:
        ends_as_promised(lambda: CALLS[call](api))


@pytest.mark.parametrize("call", CALLS)
@given(said=answers(*PLATFORM_SAYS))
def test_the_platform_may_answer_anything(call: str, said: Answer) -> None:
    on_platform(call, GOOD_TOKEN, said)


@given(login=answers(TOKEN, {"error": "invalid_grant"}))
def test_the_platform_may_give_any_token(login: Answer) -> None:
    said = Answer(200, {}, b"{}")
    on_platform("list", login, said)


@pytest.mark.parametrize("call", KEYCLOAK_CALLS)
@FEWER
@given(said=answers(*KEYCLOAK_SAYS))
def test_keycloak_may_answer_anything(
    peer: Peer, call: str, said: Answer
) -> None:
    say(peer, said)
    on_keycloak(peer, call)


@FEWER
@given(login=answers(TOKEN, {"error": "invalid_grant"}))
def test_keycloak_may_give_any_token(peer: Peer, login: Answer) -> None:
    say(peer, Answer(200, {}, b"[]"), login)
    on_keycloak(peer, "list")


def on_keycloak(peer: Peer, call: str) -> None:
    client = KeycloakAdminClient(
        peer.url, "admin", SecretStr("password"), "moderate"
    )
    ends_as_promised(lambda: KEYCLOAK_CALLS[call](client))


@pytest.mark.parametrize("call", ["services", "service_id"])
@FEWER
@given(said=answers(*SERVICES_SAY))
def test_open_metadata_may_answer_anything(
    peer: Peer, call: str, said: Answer
) -> None:
    say(peer, said)
    with OpenMetadata(peer.url, SecretStr("token")) as client:
        ask = client.services if call == "services" else service_of(client)
        ends_as_promised(ask)


def service_of(client: OpenMetadata) -> Callable[[], object]:
    return lambda: client.service_id("a b/c")


@pytest.mark.parametrize("version", [1, 2])
@FEWER
@given(said=answers(*VAULT_SAYS))
def test_a_vault_may_answer_anything(
    peer: Peer, version: int, said: Answer
) -> None:
    say(peer, said)
    keys = VaultKeys(peer.url, SecretStr("token"), version=version)
    ends_as_promised(lambda: keys.read("pii_key").get_secret_value())
    ends_as_promised(keys.greet)
    ends_as_promised(keys.may_read)


# A list that never comes to its end must not be followed for ever.


@FEWER
@given(ids=st.lists(st.integers(-5, 5), min_size=100, max_size=100))
def test_a_list_of_objects_that_goes_in_circles_ends(
    ids: Sequence[int],
) -> None:
    body = [{**OBJECT, "id": number} for number in ids]
    said = httpx.Response(200, json=body)
    with PlatformApi(
        "http://platform",
        "workflows",
        SecretStr("password"),
        transport=httpx.MockTransport(
            lambda request: (
                httpx.Response(200, content=GOOD_TOKEN.body)
                if request.url.path in TOKEN_PATHS
                else said
            )
        ),
    ) as api:
        ends_as_promised(lambda: api.list_objects_of_asset(1))


def test_a_list_of_services_that_goes_in_circles_ends(peer: Peer) -> None:
    body = b'{"data": [], "paging": {"after": "again"}}'
    say(peer, Answer(200, {}, body))
    with OpenMetadata(peer.url, SecretStr("token")) as client:
        ends_as_promised(client.services)
