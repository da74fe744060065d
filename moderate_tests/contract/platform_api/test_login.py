"""Tokens: how they are got, how long they live, what comes back with them."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from moderate.local.realm import CLIENT_ID, CLIENT_SECRET, REALM
from moderate.local.services.keycloak import Keycloak
from moderate_tests.contract.platform_api.labels import covers
from moderate_tests.contract.platform_api.peer import ADMIN, Peer, until

REFUSED = {
    "error": "invalid_grant",
    "error_description": "Invalid bearer token",
}


@covers("token.good")
def test_a_login_brings_keycloaks_token_as_text(peer: Peer) -> None:
    answer = peer.login(ADMIN)

    assert answer.status_code == 200
    # JSON that says it is text: who looks at the type does not parse it.
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    found = answer.json()
    assert found["token_type"] == "Bearer"
    # Whole seconds, counted when a second may just have passed.
    assert found["expires_in"] in {299, 300}
    claims = read_claims(found["access_token"])
    assert claims["exp"] - claims["iat"] == 300


def test_an_answer_hands_the_token_back_as_a_cookie(peer: Peer) -> None:
    token = peer.token(ADMIN)

    answer = peer.ask(ADMIN, "GET", "/ping")

    cookie = answer.headers["set-cookie"]
    assert f"access_token={token}" in cookie
    assert "HttpOnly" in cookie
    assert "Secure" in cookie


@covers("auth.expired_token")
def test_a_token_is_refused_as_soon_as_its_time_is_over(peer: Peer) -> None:
    peer.need_control("let tokens end at once")
    headers = {"authorization": f"Bearer {fresh_token(peer)}"}
    assert peer.client.get("/ping", headers=headers).status_code == 200

    peer.control("PUT", "faults", json={"token_lifetime_seconds": 0})
    try:
        answer = peer.client.get("/ping", headers=headers)
    finally:
        peer.control("PUT", "faults", json={})

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.json() == REFUSED


def test_tokens_can_be_made_invalid_at_a_moment(peer: Peer) -> None:
    peer.need_control("refuse tokens issued before now")
    old = {"authorization": f"Bearer {fresh_token(peer)}"}
    # A token's time of issue has whole seconds.
    moment = datetime.now(UTC) + timedelta(seconds=1)
    peer.control(
        "PUT",
        "faults",
        json={"reject_tokens_issued_before": moment.isoformat()},
    )
    try:
        assert peer.client.get("/ping", headers=old).status_code == 401
        until(lambda: is_welcome(peer, fresh_token(peer)))
        assert peer.client.get("/ping", headers=old).status_code == 401
    finally:
        peer.control("PUT", "faults", json={})


def test_a_changed_or_unsigned_token_is_refused(peer: Peer) -> None:
    head, body, signature = peer.token(ADMIN).split(".")
    claims = read_claims(peer.token(ADMIN)) | {"preferred_username": "alice"}
    unsigned = {"alg": "none", "typ": "JWT"}

    assert not is_welcome(peer, f"{head}.{write(claims)}.{signature}")
    assert not is_welcome(peer, f"{write(unsigned)}.{body}.")


def test_a_token_issued_under_another_address_is_refused(
    peer: Peer, request: pytest.FixtureRequest
) -> None:
    """The issuer counts, even where the same realm signed."""
    peer.need_control("use a Keycloak that we know")
    keycloak: Keycloak = request.getfixturevalue("keycloak")
    secrets: dict[str, str] = request.getfixturevalue("realm_secrets")
    form = {
        "grant_type": "password",
        "client_id": CLIENT_ID,
        "client_secret": secrets[CLIENT_SECRET],
        "username": peer.names[ADMIN],
        "password": peer.passwords[peer.names[ADMIN]],
    }
    here = f"{keycloak.url}/realms/{REALM}/protocol/openid-connect/token"
    elsewhere = {"host": "elsewhere.example"}

    own = httpx.post(here, data=form, trust_env=False).json()
    foreign = httpx.post(
        here, data=form, headers=elsewhere, trust_env=False
    ).json()

    assert is_welcome(peer, own["access_token"])
    assert not is_welcome(peer, foreign["access_token"])


def write(claims: dict[str, Any]) -> str:
    encoded = base64.urlsafe_b64encode(json.dumps(claims).encode())
    return encoded.decode().rstrip("=")


def fresh_token(peer: Peer) -> str:
    token: str = peer.login(ADMIN).json()["access_token"]
    return token


def is_welcome(peer: Peer, token: str) -> bool:
    headers = {"authorization": f"Bearer {token}"}
    return peer.client.get("/ping", headers=headers).status_code == 200


def read_claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    decoded = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    claims: dict[str, Any] = json.loads(decoded)
    return claims
