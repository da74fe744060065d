"""The API is killed in the middle of tasks."""

from moderate_tests.contract.platform_api.conftest import StartEmulator
from moderate_tests.contract.platform_api.peer import ADMIN, until


def test_a_task_that_the_api_dies_in_stays_open_for_ever(
    start_emulator: StartEmulator,
) -> None:
    """A client bounds its wait and asks again: that works."""
    emulator, peer = start_emulator(task_seconds="60")
    body = {"username": "contract-crash"}
    left = peer.post(ADMIN, "/user/did", json=body)["task_id"]
    until(lambda: peer.control("GET", "ledger")["trust_calls"])

    emulator.kill()
    emulator.start()

    peer.control("PUT", "faults", json={"task_seconds": 0})
    again = peer.post(ADMIN, "/user/did", json=body)["task_id"]
    assert again == left + 1
    assert peer.finish(ADMIN, again)["result"]["trust_did"]
    task = peer.get(ADMIN, f"/user/did/task/{left}")
    assert (task["result"], task["error"], task["finished_at"]) == (
        None,
        None,
        None,
    )


def test_rows_and_ledger_survive_a_kill(
    start_emulator: StartEmulator,
) -> None:
    emulator, peer = start_emulator(task_seconds="0")
    asset = peer.post(ADMIN, "/asset", json={"name": "kept"})
    body = {"username": "contract-kept"}
    task_id = peer.post(ADMIN, "/user/did", json=body)["task_id"]
    peer.finish(ADMIN, task_id)

    emulator.kill()
    emulator.start()

    assert peer.get(ADMIN, f"/asset/{asset['id']}") == asset
    user = peer.post(ADMIN, "/user/did", json=body)["user_meta"]
    assert user["trust_did"]
    ledger = peer.control("GET", "ledger")
    assert ledger["trust_calls_by_user"] == {"contract-kept": 1}
    assert ledger["requests"]["POST /user/did"]["200"] == 2
    assert ledger["tasks_in_flight"] == 0
    assert ledger["second_calls"] == []
