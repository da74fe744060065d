"""How the server refuses; carried over from the recorded error cases."""

from typing import Any

import jwt
import pytest

from moderate_tests.contract.open_metadata.peer import Peer, table

NOBODY = "00000000-0000-0000-0000-000000000000"
NOT_FOUND = {"code": 404, "message": "HTTP 404 Not Found"}


def test_a_request_without_a_token_is_told_so(peer: Peer) -> None:
    answer = peer.stranger.get("/api/v1/tables")

    assert answer.status_code == 401
    assert answer.json() == {
        "code": 401,
        "message": "Not Authorized! Token not present",
    }


def test_garbage_is_no_token(peer: Peer) -> None:
    answer = peer.stranger.get(
        "/api/v1/tables", headers={"authorization": "Bearer garbage"}
    )

    assert answer.status_code == 401
    assert answer.json()["message"] == "Not Authorized! Invalid token."


def test_a_tampered_token_is_refused(peer: Peer) -> None:
    header, claims, signature = peer.token.split(".")
    token = ".".join((header, claims, signature[::-1]))

    answer = peer.stranger.get(
        "/api/v1/tables", headers={"authorization": f"Bearer {token}"}
    )

    assert answer.status_code == 401
    assert "Token verification failed" in answer.json()["message"]


def test_a_token_without_claims_is_an_error_of_the_server(peer: Peer) -> None:
    """Not a 401: a client must not take it for an outage that will pass."""
    token = jwt.encode({}, "k" * 32, algorithm="HS256")

    answer = peer.stranger.get(
        "/api/v1/tables", headers={"authorization": f"Bearer {token}"}
    )

    assert answer.status_code == 500


def test_the_version_is_told_without_a_token(peer: Peer) -> None:
    answer = peer.stranger.get("/api/v1/system/version")

    assert answer.status_code == 200
    assert answer.json()["version"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "services/databaseServices/name/nope",
            "databaseService instance for nope not found",
        ),
        (f"tables/{NOBODY}", f"table instance for {NOBODY} not found"),
        ("tables/name/a.b.c.d", "table instance for a.b.c.d not found"),
        ("nosuch", "HTTP 404 Not Found"),
    ],
)
def test_what_is_not_there_is_named(
    peer: Peer, path: str, message: str
) -> None:
    answer = peer.get(path)

    assert answer.status_code == 404
    assert answer.json() == {"code": 404, "message": message}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"fields": "bogus"}, "Invalid field name bogus"),
        (
            {"limit": -5},
            "[query param limit must be greater than or equal to 0]",
        ),
    ],
)
def test_wrong_parameters_are_named(
    peer: Peer, query: dict[str, Any], message: str
) -> None:
    answer = peer.get("tables", **query)

    assert answer.status_code == 400
    assert answer.json()["message"] == message


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        (
            "databases",
            {"name": "d", "service": "nope"},
            404,
            "databaseService instance for nope not found",
        ),
        (
            "databases",
            {"service": "nope"},
            400,
            "[query param name must not be null]",
        ),
        (
            "databases",
            {"name": "x", "service": "nope", "bogus": 1},
            400,
            'Unrecognized field "bogus" (class org.openmetadata.schema.api',
        ),
        (
            "tables",
            {
                "name": "x",
                "databaseSchema": "a.b.c",
                "columns": [{"name": "a", "dataType": "NOPE"}],
            },
            400,
            "Cannot construct instance of `org.openmetadata.schema.type.",
        ),
    ],
)
def test_wrong_requests_are_explained(
    peer: Peer, path: str, body: Any, status: int, message: str
) -> None:
    answer = peer.client.put(f"/api/v1/{path}", json=body)

    assert answer.status_code == status
    assert answer.json()["code"] == status
    assert answer.json()["message"].startswith(message)


def test_broken_json_alone_is_answered_with_plain_text(peer: Peer) -> None:
    """A client that parses every answer as JSON would stumble here."""
    answer = peer.client.put(
        "/api/v1/databases",
        content='{"name":',
        headers={"content-type": "application/json"},
    )

    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith("Unexpected end-of-input")


def test_other_types_of_content_are_refused(peer: Peer) -> None:
    answer = peer.client.put(
        "/api/v1/databases",
        content="x",
        headers={"content-type": "text/plain"},
    )

    assert answer.status_code == 415
    assert answer.json()["message"] == "HTTP 415 Unsupported Media Type"


def test_a_collection_can_not_be_deleted(peer: Peer) -> None:
    answer = peer.delete("databases")

    assert answer.status_code == 405
    assert answer.json()["message"] == "HTTP 405 Method Not Allowed"


def test_what_is_there_can_not_be_posted_again(peer: Peer) -> None:
    schema = peer.schema()

    answers = [
        peer.client.post("/api/v1/tables", json=table("t", schema))
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[1].json() == {
        "code": 409,
        "message": "Entity already exists",
    }


def test_a_patch_of_an_old_state_is_refused(peer: Peer) -> None:
    made = peer.put("tables", table("t", peer.schema()))

    answer = peer.client.patch(
        f"/api/v1/tables/{made['id']}",
        json=[{"op": "add", "path": "/description", "value": "z"}],
        headers={
            "content-type": "application/json-patch+json",
            "if-match": '"0"',
        },
    )

    assert answer.status_code == 412


def test_the_clean_up_of_2_0_is_not_there(peer: Peer) -> None:
    """The client falls back to listing and deleting one by one."""
    answer = peer.client.request(
        "DELETE",
        "/api/v1/tables/deleteStale",
        json={
            "scopeFqn": "nope",
            "scopeEntityType": "databaseSchema",
            "seenFqns": [],
            "recursive": True,
        },
    )

    assert answer.status_code == 404
    assert answer.json() == NOT_FOUND
