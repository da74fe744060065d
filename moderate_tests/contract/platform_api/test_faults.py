"""The emulator's controls: faults on demand, the ledger, seed and reset."""

import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from moderate_tests.contract.platform_api.conftest import (
    Emulators,
    StartEmulator,
)
from moderate_tests.contract.platform_api.peer import ADMIN, Peer, until


@pytest.fixture(scope="module")
def emulated(emulators: Emulators) -> Iterator[Peer]:
    with emulators(task_seconds="0", job_debounce_seconds="0") as (_, peer):
        yield peer


@pytest.fixture(autouse=True)
def clean(emulated: Peer) -> Iterator[None]:
    yield
    emulated.control("POST", "reset")


def break_routes(peer: Peer, **fault: Any) -> None:
    peer.control("PUT", "faults", json={"routes": [fault]})


def statuses(peer: Peer, number: int, path: str = "/ping") -> list[int]:
    return [peer.ask(ADMIN, "GET", path).status_code for _ in range(number)]


def test_the_next_requests_fail_and_then_work_again(emulated: Peer) -> None:
    emulated.token(ADMIN)
    break_routes(emulated, prefix="/asset", status=500, count=2)

    assert statuses(emulated, 1, "/ping") == [200]
    assert statuses(emulated, 4, "/asset") == [500, 500, 200, 200]


def test_a_fraction_of_requests_fails(emulated: Peer) -> None:
    emulated.token(ADMIN)
    break_routes(emulated, status=500, fraction=0.5)

    seen = Counter(statuses(emulated, 60))

    assert seen[200] > 10
    assert seen[500] > 10


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (500, "text/plain; charset=utf-8", "Internal Server Error"),
        (401, "text/plain; charset=utf-8", "invalid_grant"),
        (502, "text/html; charset=utf-8", "<h1>502 Bad Gateway</h1>"),
        (503, "text/html; charset=utf-8", "Service Unavailable"),
    ],
)
def test_a_status_has_the_shape_of_the_layer_that_it_comes_from(
    emulated: Peer, status: int, kind: str, text: str
) -> None:
    emulated.token(ADMIN)
    break_routes(emulated, status=status, count=1)

    answer = emulated.ask(ADMIN, "GET", "/ping")

    assert answer.status_code == status
    assert answer.headers["content-type"] == kind
    assert text in answer.text


def test_too_many_requests_says_when_to_come_again(emulated: Peer) -> None:
    emulated.token(ADMIN)
    break_routes(emulated, status=429, retry_after_seconds=7, count=1)

    answer = emulated.ask(ADMIN, "GET", "/ping")

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"


def test_a_login_can_fail_too(emulated: Peer) -> None:
    break_routes(emulated, prefix="/api/token", status=502, count=1)

    assert emulated.login(ADMIN).status_code == 502
    assert emulated.login(ADMIN).status_code == 200


def test_an_answer_can_be_lost_after_its_effect(emulated: Peer) -> None:
    emulated.token(ADMIN)
    break_routes(
        emulated, method="POST", status=502, after_effect=True, count=1
    )

    answer = emulated.ask(ADMIN, "POST", "/asset", json={"name": "there"})

    assert answer.status_code == 502
    (made,) = emulated.get(ADMIN, "/asset")
    assert made["name"] == "there"


def test_a_request_can_hang_until_the_client_gives_up(
    emulated: Peer,
) -> None:
    emulated.token(ADMIN)
    break_routes(emulated, prefix="/ping", hang=True, count=1)

    with pytest.raises(httpx.ReadTimeout):
        emulated.ask(ADMIN, "GET", "/ping", timeout=1)

    assert statuses(emulated, 1) == [200]


def test_a_request_can_be_slow(emulated: Peer) -> None:
    emulated.token(ADMIN)
    break_routes(emulated, prefix="/ping", latency_ms=300, count=1)

    answer = emulated.ask(ADMIN, "GET", "/ping")

    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() >= 0.3


def test_a_user_can_fail_twice_and_then_work(emulated: Peer) -> None:
    faults = {"tasks": [{"pattern": "twice-*", "times": 2}]}
    emulated.control("PUT", "faults", json=faults)

    results = [run_did(emulated, "twice-1") for _ in range(3)]

    assert [bool(one["error"]) for one in results] == [True, True, False]
    assert run_did(emulated, "twice-2")["error"]
    assert run_did(emulated, "other")["error"] is None
    ledger = emulated.control("GET", "ledger")
    outcomes = Counter(
        (call["subject"], call["outcome"]) for call in ledger["trust_calls"]
    )
    assert outcomes["twice-1", "failed"] == 2
    assert outcomes["twice-1", "succeeded"] == 1
    again = [(each["subject"], each["why"]) for each in ledger["second_calls"]]
    assert again == [("twice-1", "the first had failed")] * 2


def test_a_task_can_hang_until_the_api_gives_up(
    start_emulator: StartEmulator,
) -> None:
    _, peer = start_emulator(trust_timeout_seconds="0.2")
    faults = {"tasks": [{"pattern": "*", "hang": True}]}
    peer.control("PUT", "faults", json=faults)

    assert run_did(peer, "hangs")["error"] == "ReadTimeout('')"


def test_a_fraction_of_all_tasks_fails(emulated: Peer) -> None:
    emulated.control("PUT", "faults", json={"task_failure_fraction": 0.5})

    errors = [run_did(emulated, f"user-{n}")["error"] for n in range(40)]

    assert 5 < sum(error is not None for error in errors) < 35


def test_an_unknown_fault_is_refused(emulated: Peer) -> None:
    answer = emulated.client.put("/_emulator/faults", json={"nope": 1})
    assert answer.status_code == 422


def test_every_word_on_a_job_is_in_the_ledger(emulated: Peer) -> None:
    asset = emulated.post(ADMIN, "/asset", json={"name": "ledger"})
    uploaded = emulated.upload(ADMIN, asset["id"], "l.csv")
    arguments = {
        "uploaded_s3_object_id": uploaded["id"],
        "analysis_variable": "a",
    }
    body = {"job_type": "matrix_profile", "arguments": arguments}
    job_id = emulated.post(ADMIN, "/job", json=body)["id"]
    for word in ("first", "second"):
        results = {"results": {"error": word}}
        emulated.ask(ADMIN, "PATCH", f"/job/{job_id}", json=results)
    emulated.ask(
        ADMIN,
        "PATCH",
        f"/job/{job_id}",
        json={"results": {}, "finalised_at": "2026-01-01T00:00:00Z"},
    )

    patches = emulated.control("GET", "ledger")["job_patches"][str(job_id)]

    assert [(one["status"], one["body"]["results"]) for one in patches] == [
        (200, {"error": "first"}),
        (200, {"error": "second"}),
        (500, {}),
    ]
    assert patches[0]["username"] == emulated.names[ADMIN]
    assert patches[0]["at"] < patches[1]["at"]


def test_seeded_objects_are_listed_and_can_be_proven(emulated: Peer) -> None:
    prefix = f"seed-{uuid.uuid4().hex}"
    request = {"objects": 250, "owner": "bob", "key_prefix": prefix}

    ids = emulated.control("POST", "seed", json=request)["object_ids"]

    assert len(set(ids)) == 250
    listed = emulated.get(
        ADMIN, "/asset/object", params={"sorts": '[["id", "asc"]]'}
    )
    assert [one["id"] for one in listed] == ids[:100]
    run_did(emulated, "bob")
    body = {"object_key_or_id": ids[0]}
    task_id = emulated.post(ADMIN, "/asset/proof", json=body)["task_id"]
    task = emulated.finish(ADMIN, task_id, "/asset/proof")
    assert task["result"]["key"] == f"{prefix}-0"


def test_a_reset_forgets_rows_tasks_and_faults(emulated: Peer) -> None:
    run_did(emulated, "forgotten")
    emulated.control("PUT", "faults", json={"task_seconds": 60})
    emulated.post(ADMIN, "/user/did", json={"username": "cut off"})
    until(lambda: emulated.control("GET", "ledger")["tasks_in_flight"])

    emulated.control("POST", "reset")

    ledger = emulated.control("GET", "ledger")
    assert ledger["tasks_in_flight"] == 0
    assert ledger["max_tasks_in_flight"] == 0
    assert ledger["trust_calls"] == []
    assert emulated.get(ADMIN, "/user") == []
    assert run_did(emulated, "new")["id"] == 1


def test_controls_are_not_offered_unless_asked_for(
    start_emulator: StartEmulator,
) -> None:
    _, peer = start_emulator(control="0")

    answer = peer.client.get("/_emulator/ledger")

    assert answer.status_code == 404


def run_did(peer: Peer, username: str) -> Any:
    body = {"username": username}
    task_id = peer.post(ADMIN, "/user/did", json=body)["task_id"]
    return peer.finish(ADMIN, task_id)
