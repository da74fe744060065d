"""Items are looked at, retried and dropped from the UI as by command."""

from typing import Any

import pytest
from dagster import ExecuteInProcessResult

from moderate.definitions import build_defs
from moderate.inbox import admin
from moderate.inbox.model import State, WorkItem
from moderate_tests.integration.operations.conftest import (
    KIND,
    Watched,
    output_of,
)

pytestmark = pytest.mark.services


def act(watched: Watched, **config: Any) -> ExecuteInProcessResult:
    given = {"who": "anna", "why": "the column is there now", **config}
    return (
        build_defs()
        .resolve_job_def("inbox_admin_job")
        .execute_in_process(
            instance=watched.instance,
            run_config={"ops": {"inbox_admin": {"config": given}}},
            raise_on_error=False,
        )
    )


def items(watched: Watched) -> dict[str, WorkItem]:
    with watched.inbox.transaction() as conn:
        found = admin.list_items(conn, kind=KIND, dropped=True)
    return {item.key: item for item in found}


def audit(watched: Watched, item: WorkItem) -> list[tuple[str, str, str]]:
    with watched.inbox.transaction() as conn:
        return [
            (each.action, each.who, each.why)
            for each in admin.audit_of(conn, item.id)
        ]


def test_a_retried_item_is_due_and_says_who_wanted_it_and_why(
    watched: Watched,
) -> None:
    watched.record_dead("1", "2")
    one = items(watched)["1"]
    assert act(watched, action="retry", item_id=one.id).success
    found = items(watched)
    assert found["1"].state is State.PENDING
    assert found["2"].state is State.DEAD
    assert audit(watched, one) == [
        ("retry", "anna", "the column is there now")
    ]


def test_all_dead_items_of_a_kind_are_retried_at_once(
    watched: Watched,
) -> None:
    watched.record_dead("1", "2", "3")
    assert act(watched, action="retry", kind=KIND, limit=2).success
    states = [item.state for item in items(watched).values()]
    assert sorted(states) == ["dead", "pending", "pending"]


def test_a_dropped_item_is_a_tombstone_with_a_record(
    watched: Watched,
) -> None:
    watched.record_dead("1")
    one = items(watched)["1"]
    assert act(watched, action="drop", item_id=one.id).success
    dropped = items(watched)["1"]
    assert dropped.dropped_at is not None
    assert dropped.payload == {}
    assert [each[0] for each in audit(watched, one)] == ["drop"]


def test_a_look_changes_nothing_and_shows_the_reason(
    watched: Watched,
) -> None:
    watched.record_dead("1", error="the column is empty")
    one = items(watched)["1"]
    result = act(watched, item_id=one.id)
    assert result.success
    assert items(watched)["1"] == one
    assert audit(watched, one) == []
    (shown,) = output_of(result)["shown"].value
    assert shown["last_error"] == "the column is empty"


@pytest.mark.parametrize(
    "config",
    [
        {"action": "retry", "item_id": 99_999},
        {"action": "retry"},
        {"action": "drop", "item_id": 1, "kind": KIND},
        {"action": "retry", "item_id": 1, "who": ""},
        {"action": "retry", "item_id": 1, "why": ""},
    ],
)
def test_what_is_not_clear_fails_and_changes_nothing(
    watched: Watched, config: dict[str, Any]
) -> None:
    watched.record_dead("1")
    before = items(watched)
    assert not act(watched, **config).success
    assert items(watched) == before


def test_an_item_at_work_is_left_alone(watched: Watched) -> None:
    watched.record(KIND, "1")
    watched.inbox.dispatch([KIND])
    one = items(watched)["1"]
    assert not act(watched, action="drop", item_id=one.id).success
    assert items(watched)["1"] == one
