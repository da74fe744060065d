"""Integrity proofs: made by tasks, in the name of the object's owner."""

from typing import Any

import pytest

from moderate_tests.contract.platform_api.labels import covers
from moderate_tests.contract.platform_api.matching import differences
from moderate_tests.contract.platform_api.peer import ADMIN, OWNER, Peer
from moderate_tests.contract.platform_api.scene import Scene

NO_DID = (
    "ValueError('User {} does not have a DID and thus cannot be a proof "
    "owner')"
)
MEANTIME = (
    "ValueError(\"The proof for object '{}' seems to have been created in "
    'the meantime")'
)


@pytest.fixture
def owner_with_did(peer: Peer) -> str:
    give_did(peer, peer.names[OWNER])
    return peer.names[OWNER]


@pytest.fixture
def fresh(peer: Peer, scene: Scene) -> Any:
    """An object of the owner that has no proof."""
    return peer.upload(OWNER, scene["asset"], "fresh.csv")


def give_did(peer: Peer, username: str) -> None:
    asked = peer.post(ADMIN, "/user/did", json={"username": username})
    if asked["task_id"] is not None:
        peer.finish(ADMIN, asked["task_id"])


def ask_for_proof(peer: Peer, key_or_id: str | int, role: str = ADMIN) -> Any:
    body = {"object_key_or_id": key_or_id}
    return peer.post(role, "/asset/proof", json=body)


def finish(peer: Peer, task_id: int, role: str = ADMIN) -> Any:
    return peer.finish(role, task_id, "/asset/proof")


@covers(
    "proof.owner_has_did",
    "proof.task",
    "proof.already",
    "proof.integrity.ok",
    "proof.task.via_did_path",
)
@pytest.mark.usefixtures("owner_with_did")
def test_an_object_gets_a_task_and_then_the_proof(
    peer: Peer, fresh: Any
) -> None:
    asked = ask_for_proof(peer, fresh["key"])
    assert not list(differences({"task_id": "<int>", "obj": None}, asked))

    task = finish(peer, asked["task_id"])

    assert task["error"] is None
    proven = fresh | {"proof_id": task["result"]["proof_id"]}
    assert proven["proof_id"]
    assert task["result"] == proven
    again = ask_for_proof(peer, fresh["key"])
    assert again == {"task_id": None, "obj": proven}
    integrity = peer.get(
        ADMIN,
        "/asset/proof/integrity",
        params={"object_key_or_id": fresh["key"]},
    )
    assert integrity == {"valid": True, "reason": None}
    # One table holds all tasks.
    assert peer.get(ADMIN, f"/user/did/task/{task['id']}") == task


@covers("proof.by_int_id", "proof.task.by_id", "proof.task.not_owner")
@pytest.mark.usefixtures("owner_with_did")
def test_the_owner_may_ask_by_the_objects_number(
    peer: Peer, fresh: Any
) -> None:
    asked = ask_for_proof(peer, fresh["id"], OWNER)

    task = finish(peer, asked["task_id"], OWNER)

    assert task["result"]["id"] == fresh["id"]
    assert task["username_owner"] == peer.names[OWNER]
    peer.need("other")
    path = f"/asset/proof/task/{task['id']}"
    assert peer.ask("other", "GET", path).status_code == 404


@covers("object.upload.nodid", "proof.owner_no_did", "proof.task.no_did")
def test_that_the_owner_lacks_a_did_only_shows_in_the_task(
    peer: Peer,
) -> None:
    peer.need("other")
    asset = peer.post("other", "/asset", json={"name": "nd"})
    uploaded = peer.upload("other", asset["id"], "nd.csv")

    asked = ask_for_proof(peer, uploaded["key"])

    error = finish(peer, asked["task_id"])["error"]
    assert error == NO_DID.format(peer.names["other"])


@covers("proof.ownerless_requester_no_did", "proof.task.ownerless")
def test_an_object_without_owner_is_proven_by_who_asks(
    peer: Peer, scene: Scene
) -> None:
    asset_id = scene["ownerless_asset"]
    uploaded = peer.upload(ADMIN, asset_id, "ow.csv")
    if peer.controlled:
        task_id = ask_for_proof(peer, uploaded["key"])["task_id"]
        error = finish(peer, task_id)["error"]
        assert error == NO_DID.format(peer.names[ADMIN])

    give_did(peer, peer.names[ADMIN])

    task = finish(peer, ask_for_proof(peer, uploaded["key"])["task_id"])
    assert task["result"]["proof_id"]


@covers(
    "proof.twice.first",
    "proof.twice.second",
    "proof.task.twice.first",
    "proof.task.twice.second",
)
@pytest.mark.usefixtures("owner_with_did")
def test_asked_twice_one_task_wins(peer: Peer, fresh: Any) -> None:
    """An error of a task does not mean that the object lacks a proof."""
    asked = [ask_for_proof(peer, fresh["key"]) for _ in range(2)]
    if asked[1]["task_id"] is None:
        pytest.skip("the first task was quicker than the second question")

    tasks = [finish(peer, one["task_id"]) for one in asked]

    errors = [task["error"] for task in tasks if task["error"]]
    assert errors == [MEANTIME.format(fresh["key"])]
    if peer.controlled:
        calls = peer.control("GET", "ledger")["trust_calls_by_object"]
        assert calls[fresh["key"]] == 2


@covers("proof.trust_fails", "proof.task.failed")
@pytest.mark.usefixtures("owner_with_did")
def test_a_failing_trust_service_shows_in_the_task(
    peer: Peer, fresh: Any
) -> None:
    peer.need_control("let the trust service fail")
    faults = {"tasks": [{"pattern": fresh["key"], "kind": "proof"}]}
    peer.control("PUT", "faults", json=faults)
    try:
        task = finish(peer, ask_for_proof(peer, fresh["key"])["task_id"])
    finally:
        peer.control("PUT", "faults", json={})

    assert task["result"] is None
    assert task["error"].startswith("HTTPStatusError(\"Server error '500 ")
    assert "/api/proofs" in task["error"]


@covers("trust.proof_request")
def test_the_trust_service_is_sent_key_hash_and_did(
    peer: Peer, fresh: Any, owner_with_did: str
) -> None:
    peer.need_control("show what the trust service was sent")
    finish(peer, ask_for_proof(peer, fresh["key"])["task_id"])
    user = peer.post(ADMIN, "/user/did", json={"username": owner_with_did})

    calls = peer.control("GET", "ledger")["trust_calls"]

    (call,) = [one for one in calls if one["subject"] == fresh["key"]]
    assert call["body"] == {
        "assetId": fresh["key"],
        "assetHash": fresh["sha256_hash"],
        "metadataHash": fresh["sha256_hash"],
        "did": user["user_meta"]["trust_did"],
    }
