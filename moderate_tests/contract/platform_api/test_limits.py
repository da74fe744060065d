"""The API's pool of connections, which running tasks use up."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from moderate_tests.contract.platform_api.conftest import StartEmulator
from moderate_tests.contract.platform_api.peer import ADMIN, Peer, until

POOL = 15
WAIT_SECONDS = 1.0


def start_task(peer: Peer) -> Any:
    body = {"username": f"contract-{uuid.uuid4().hex}"}
    return peer.ask(ADMIN, "POST", "/user/did", json=body)


def occupy(peer: Peer, tasks: int) -> list[int]:
    """Start tasks and wait until each holds its connection."""
    started = [start_task(peer).json()["task_id"] for _ in range(tasks)]
    until(
        lambda: peer.control("GET", "ledger")["trust_calls"],
        lambda calls: len(calls) == tasks,
    )
    return started


def test_with_fifteen_tasks_running_everything_else_hangs_then_fails(
    start_emulator: StartEmulator,
) -> None:
    _, peer = start_emulator(
        task_seconds="60", pool_timeout_seconds=str(WAIT_SECONDS)
    )
    occupy(peer, POOL - 1)
    assert peer.ask(ADMIN, "GET", "/user").status_code == 200
    occupied = start_task(peer)
    assert occupied.status_code == 200
    until(
        lambda: peer.control("GET", "ledger")["trust_calls"],
        lambda calls: len(calls) == POOL,
    )

    began = time.monotonic()
    refused = start_task(peer)

    assert refused.status_code == 500
    assert refused.text == "Internal Server Error"
    assert time.monotonic() - began >= WAIT_SECONDS
    task_path = f"/user/did/task/{occupied.json()['task_id']}"
    assert peer.ask(ADMIN, "GET", task_path).status_code == 500
    # What needs no database is answered.
    assert peer.ask(ADMIN, "GET", "/ping").status_code == 200
    assert peer.control("GET", "ledger")["max_tasks_in_flight"] == POOL


def test_a_request_that_hangs_goes_on_when_a_task_ends(
    start_emulator: StartEmulator,
) -> None:
    _, peer = start_emulator(task_seconds="1", pool_size="2")
    tasks = occupy(peer, 2)

    users = peer.get(ADMIN, "/user")

    assert len(users) == 2
    ended = [peer.finish(ADMIN, task)["finished_at"] for task in tasks]
    assert all(ended)


def test_requests_beyond_the_pool_wait_for_their_turn(
    start_emulator: StartEmulator,
) -> None:
    _, peer = start_emulator(task_seconds="0.05", pool_size="2")
    peer.token(ADMIN)

    with ThreadPoolExecutor(10) as threads:
        answers: list[httpx.Response] = list(
            threads.map(lambda _: start_task(peer), range(40))
        )

    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        assert peer.finish(ADMIN, answer.json()["task_id"])["error"] is None


def test_an_asset_takes_so_many_objects_and_no_more(
    start_emulator: StartEmulator,
) -> None:
    _, peer = start_emulator(max_objects_per_asset="1")
    asset = peer.post(ADMIN, "/asset", json={"name": "full"})
    peer.upload(ADMIN, asset["id"], "first.csv")

    answer = peer.ask(
        ADMIN,
        "POST",
        f"/asset/{asset['id']}/object",
        files={"obj": ("second.csv", b"x", "text/csv")},
    )

    assert answer.status_code == 400
