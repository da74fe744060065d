"""What we read out of the API's own words, and how we see whether it lives."""

import uuid

from moderate.flows.platform_tasks.meanings import (
    AskAgain,
    Failed,
    NeedsDid,
    meaning_of,
)
from moderate.flows.platform_tasks.sight import PROBE_TASK
from moderate_tests.contract.platform_api.peer import ADMIN, Peer


def test_a_task_of_any_number_is_an_answer_of_a_living_api(
    peer: Peer,
) -> None:
    """Found or not: gateway, Keycloak, API and database have worked."""
    answer = peer.ask(ADMIN, "GET", f"/user/did/task/{PROBE_TASK}")
    assert answer.status_code in {200, 404}
    if answer.status_code == 404:
        assert answer.json() == {"detail": "Not Found"}


def test_the_error_of_the_slower_request_means_to_ask_again(
    peer: Peer,
) -> None:
    body = {"username": f"contract-{uuid.uuid4().hex}"}
    asked = [peer.post(ADMIN, "/user/did", json=body) for _ in range(2)]
    ids = [each["task_id"] for each in asked if each["task_id"] is not None]
    errors = [peer.finish(ADMIN, task)["error"] for task in ids]
    meanings = [meaning_of(error) for error in errors if error]
    assert all(isinstance(meaning, AskAgain) for meaning in meanings)
    assert peer.post(ADMIN, "/user/did", json=body)["user_meta"]["trust_did"]


def test_the_error_about_a_missing_did_names_the_owner(peer: Peer) -> None:
    peer.need("other")
    asset = peer.post("other", "/asset", json={"name": "no did yet"})
    uploaded = peer.upload("other", asset["id"], "no-did.csv")
    body = {"object_key_or_id": uploaded["key"]}
    asked = peer.post(ADMIN, "/asset/proof", json=body)
    error = peer.finish(ADMIN, asked["task_id"], "/asset/proof")["error"]
    meaning = meaning_of(error)
    assert isinstance(meaning, NeedsDid)
    assert meaning.owner == peer.names["other"]


def test_the_error_of_a_failing_trust_service_is_a_failure(
    peer: Peer,
) -> None:
    peer.need_control("let the trust service fail")
    name = f"contract-{uuid.uuid4().hex}"
    faults = {"tasks": [{"pattern": name, "times": 1}]}
    peer.control("PUT", "faults", json=faults)
    try:
        asked = peer.post(ADMIN, "/user/did", json={"username": name})
        error = peer.finish(ADMIN, asked["task_id"])["error"]
    finally:
        peer.control("PUT", "faults", json={})
    assert isinstance(meaning_of(error), Failed)
