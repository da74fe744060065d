"""DIDs of users: made by tasks that take time, fail and meet each other."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from moderate_tests.contract.platform_api.conftest import StartEmulator
from moderate_tests.contract.platform_api.labels import covers
from moderate_tests.contract.platform_api.matching import differences
from moderate_tests.contract.platform_api.peer import ADMIN, OWNER, Peer

MEANTIME = (
    "ValueError('The DID for user {} seems to have been created in the "
    "meantime')"
)
CONFLICT = {"message": "Database operation error"}
ROUNDS = 20


@pytest.fixture
def username() -> str:
    return f"contract-{uuid.uuid4().hex}"


def ask_for_did(peer: Peer, username: str, role: str = ADMIN) -> Any:
    return peer.post(role, "/user/did", json={"username": username})


@covers("did.new_user", "did.task", "did.user_has_one", "user.filter")
def test_a_new_user_gets_a_task_and_then_the_did(
    peer: Peer, username: str
) -> None:
    asked = ask_for_did(peer, username)
    assert not list(
        differences({"task_id": "<int>", "user_meta": None}, asked)
    )
    task = peer.get(ADMIN, f"/user/did/task/{asked['task_id']}")
    assert not list(differences("<shape:task>", task))

    task = peer.finish(ADMIN, asked["task_id"])

    assert task["username_owner"] == peer.names[ADMIN]
    assert task["error"] is None
    assert not list(differences("<time>", task["finished_at"]))
    expected = {
        "id": "<int>",
        "meta": None,
        "username": username,
        "created_at": "<time>",
        "trust_did": "re:did:.+",
    }
    assert not list(differences(expected, task["result"]))
    user = {key: task["result"][key] for key in expected if key != "id"}
    again = ask_for_did(peer, username)
    assert again == {"task_id": None, "user_meta": user}
    filters = f'[["username", "eq", "{username}"]]'
    assert peer.get(ADMIN, "/user", params={"filters": filters}) == [user]


@covers("did.self_as_basic", "did.task.self", "did.task.not_owner")
def test_a_basic_user_sees_its_own_tasks_only(
    start_emulator: StartEmulator,
) -> None:
    _, peer = start_emulator()
    asked = ask_for_did(peer, peer.names[OWNER], OWNER)
    path = f"/user/did/task/{asked['task_id']}"

    assert peer.get(OWNER, path)["username_owner"] == peer.names[OWNER]
    assert peer.get(ADMIN, path)["username_owner"] == peer.names[OWNER]
    stranger = peer.ask("other", "GET", path)
    assert stranger.status_code == 404
    assert stranger.json() == {"detail": "Not Found"}


@covers("did.username_not_in_keycloak")
def test_any_text_is_taken_as_a_user(peer: Peer, username: str) -> None:
    odd = f"{username} ü/with space"

    task = peer.finish(ADMIN, ask_for_did(peer, odd)["task_id"])

    assert task["result"]["username"] == odd


@covers("did.empty_username")
def test_even_an_empty_text_is_taken_as_a_user(peer: Peer) -> None:
    peer.need_control("forget the user without a name afterwards")
    assert set(ask_for_did(peer, "")) == {"task_id", "user_meta"}


@covers(
    "did.twice.first",
    "did.twice.second",
    "did.task.twice.first",
    "did.task.twice.second",
)
def test_asked_twice_one_task_wins_and_the_other_ends_with_an_error(
    peer: Peer, username: str
) -> None:
    """An error of a task does not mean that the user lacks a DID."""
    asked = [ask_for_did(peer, username) for _ in range(2)]
    if asked[1]["task_id"] is None:
        pytest.skip("the first task was quicker than the second question")

    tasks = [peer.finish(ADMIN, one["task_id"]) for one in asked]

    errors = [task["error"] for task in tasks if task["error"]]
    assert errors == [MEANTIME.format(username)]
    has_one = ask_for_did(peer, username)
    assert has_one["task_id"] is None
    if peer.controlled:
        calls = peer.control("GET", "ledger")["trust_calls_by_user"]
        assert calls[username] == 2


def test_first_requests_at_once_may_conflict_and_nothing_else(
    peer: Peer, username: str
) -> None:
    """How often depends on luck: a busy machine sends them one by one."""
    peer.token(ADMIN)
    conflicts = 0
    for round_number in range(ROUNDS if peer.controlled else 1):
        answers = _ask_at_once(peer, f"{username}-{round_number}")
        refused = [one for one in answers if one.status_code == 409]
        taken = [one for one in answers if one.status_code == 200]
        assert len(refused) + len(taken) == len(answers)
        assert taken
        assert all(one.json() == CONFLICT for one in refused)
        conflicts += len(refused)
        if conflicts:
            break
    if peer.controlled:
        assert conflicts


def _ask_at_once(peer: Peer, username: str) -> list[httpx.Response]:
    with ThreadPoolExecutor(8) as threads:
        return list(
            threads.map(
                lambda _: peer.ask(
                    ADMIN, "POST", "/user/did", json={"username": username}
                ),
                range(8),
            )
        )


@covers(
    "did.trust_fails",
    "did.task.failed",
    "did.retry_after_failure",
    "did.task.retry",
)
def test_after_a_failed_task_asking_again_makes_a_new_one(
    peer: Peer, username: str
) -> None:
    peer.need_control("let the trust service fail once")
    faults = {"tasks": [{"pattern": username, "times": 1}]}
    peer.control("PUT", "faults", json=faults)
    try:
        failed = peer.finish(ADMIN, ask_for_did(peer, username)["task_id"])
        worked = peer.finish(ADMIN, ask_for_did(peer, username)["task_id"])
    finally:
        peer.control("PUT", "faults", json={})

    assert failed["result"] is None
    assert failed["error"] == (
        "HTTPStatusError(\"Server error '500 Internal Server Error' for url "
        "'http://trust/api/dids'\\nFor more information check: "
        'https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/500")'
    )
    assert worked["error"] is None
    assert worked["result"]["trust_did"]


@covers("trust.did_request")
def test_the_trust_service_is_asked_for_a_did_without_saying_whose(
    peer: Peer, username: str
) -> None:
    peer.need_control("show what the trust service was asked")
    peer.finish(ADMIN, ask_for_did(peer, username)["task_id"])

    calls = peer.control("GET", "ledger")["trust_calls"]

    (call,) = [one for one in calls if one["subject"] == username]
    assert call["kind"] == "did"
    assert call["body"] is None
    assert call["outcome"] == "succeeded"
