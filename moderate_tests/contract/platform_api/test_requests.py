"""Single requests and their exact answers, from ``cases/*.json``."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from moderate_tests.contract.platform_api.labels import covered
from moderate_tests.contract.platform_api.matching import CASES, differences
from moderate_tests.contract.platform_api.peer import Peer
from moderate_tests.contract.platform_api.scene import Scene

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
BODIES = ("json", "content", "headers")


def load() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.json")):
        if path.name == "shapes.json":
            continue
        for case in json.loads(path.read_text()):
            covered.add(case["label"])
            yield pytest.param(case, id=case["label"])


@pytest.mark.parametrize("case", list(load()))
def test_a_request_is_answered_exactly_so(
    peer: Peer, scene: Scene, case: dict[str, Any]
) -> None:
    role = case.get("as")
    if role in peer.names or role in ("other", "norole"):
        peer.need(*filter(None, (role, case.get("apart_from"))))
    filled = scene.fill(case)

    answer = peer.ask(role, filled["method"], filled["path"], **how(filled))

    assert answer.status_code == filled["status"], answer.text
    expected_type = filled.get("type", TEXT if "text" in filled else JSON)
    assert answer.headers["content-type"] == expected_type
    if "text" in filled:
        assert answer.text == filled["text"]
        return
    found = answer.json()
    assert not list(differences(filled["body"], found))
    assert ("x-total-count" in answer.headers) is filled.get("counted", False)
    check_items(filled, found)


def how(case: dict[str, Any]) -> dict[str, Any]:
    """What of a case goes into the request."""
    request = {name: case[name] for name in BODIES if name in case}
    if "form" in case:
        request["data"] = case["form"]
    if "file" in case:
        content = b"when,a\n1,2\n"
        request["files"] = {"obj": (case["file"], content, "text/csv")}
    if "query" in case:
        request["params"] = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in case["query"].items()
        }
    return request


def check_items(case: dict[str, Any], found: Any) -> None:
    if "most" in case:
        assert 1 <= len(found) <= case["most"]
    if "ids" in case:
        assert [item["id"] for item in found] == case["ids"]
    if "ids_in_any_order" in case:
        ids = sorted(item["id"] for item in found)
        assert ids == sorted(case["ids_in_any_order"])
