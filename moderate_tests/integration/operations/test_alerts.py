"""Alerts are told once, together, not too often, and never lost."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    SensorDefinition,
    SkipReason,
    instance_for_test,
)

from moderate.definitions import build_defs
from moderate.errors import TemporaryError
from moderate.flows import tags
from moderate.flows.operations.alerts import (
    MOST_AT_ONCE,
    Happened,
    alert_dead_items_sensor,
    alert_failed_runs_sensor,
    notice,
)
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.operations.conftest import Watched
from moderate_tests.integration.operations.hook import (
    CANARY,
    Hook,
    listening,
)

pytestmark = pytest.mark.services

SENSORS = (alert_dead_items_sensor, alert_failed_runs_sensor)


@pytest.fixture
def hook(watched: Watched) -> Iterator[Hook]:
    """A webhook that both sensors have begun to tell."""
    with (
        listening() as made,
        environment(
            {"NOTIFY_WEBHOOK_URL": made.url, "NOTIFY_QUIET_SECONDS": "300"}
        ),
    ):
        for sensor in SENSORS:
            said(watched, sensor)
        yield made


def test_the_reason_of_a_failed_run_is_what_its_step_raised(
    watched: Watched, hook: Hook, alone: DagsterInstance
) -> None:
    config = {"action": "retry", "item_id": 7, "who": "a", "why": "b"}
    build_defs().resolve_job_def("inbox_admin_job").execute_in_process(
        instance=alone,
        run_config={"ops": {"inbox_admin": {"config": config}}},
        raise_on_error=False,
    )
    said(Watched(alone), alert_failed_runs_sensor)
    assert "there is no item 7" in hook.told[0]["groups"][0]["reason"]


@pytest.fixture
def alone() -> Iterator[DagsterInstance]:
    """An instance in which no other test's runs have failed."""
    with instance_for_test() as instance:
        yield instance


def said(watched: Watched, sensor: SensorDefinition) -> str:
    result = watched.evaluate(sensor)
    assert isinstance(result, SkipReason)
    return str(result.skip_message)


def let_pass(watched: Watched, seconds: int) -> None:
    """Let what has ended, and what was sent, be so much older."""
    watched.sql(
        "UPDATE work_item SET finished_at ="
        f" finished_at - interval '{seconds} s';"
        "UPDATE cursor SET value = jsonb_set(value, '{sent_at}',"
        " to_jsonb((value->>'sent_at')::timestamptz"
        f" - interval '{seconds} s')) WHERE value->>'sent_at' IS NOT NULL;"
        "UPDATE cursor SET value = jsonb_set(value, '{since}',"
        " to_jsonb((value->>'since')::timestamptz"
        f" - interval '{seconds} s')) WHERE value->>'since' IS NOT NULL"
    )


def die(watched: Watched, *keys: str, error: str = "no such column") -> None:
    watched.record_dead(*keys, error=error)
    let_pass(watched, 10)


def fail_runs(watched: Watched, count: int) -> None:
    job = build_defs().resolve_job_def("housekeeping_job")
    for _ in range(count):
        run = watched.instance.create_run_for_job(
            job,
            status=DagsterRunStatus.STARTED,
            tags={tags.FLOW: "operations"},
        )
        watched.instance.report_run_failed(run, "the disk is full")


def test_both_are_off_until_somebody_switches_them_on() -> None:
    for sensor in SENSORS:
        assert sensor.default_status is DefaultSensorStatus.STOPPED


def test_without_a_url_they_say_which_setting_is_missing(
    watched: Watched,
) -> None:
    for sensor in SENSORS:
        assert "NOTIFY_WEBHOOK_URL" in said(watched, sensor)


def test_items_that_died_alike_are_one_line_of_one_notice(
    watched: Watched, hook: Hook
) -> None:
    die(watched, "1", "2", "3", error="asset 17 has no column")
    die(watched, "4", error="asset 9 is gone")
    die(watched, "5", error="asset 18 has no column")
    assert "5 item(s)" in said(watched, alert_dead_items_sensor)
    (told,) = hook.told
    assert told["count"] == 5
    assert [group["count"] for group in told["groups"]] == [4, 1]
    assert "4 x matrix_profile: asset 17 has no column" in told["text"]


def test_what_was_told_is_not_told_again(watched: Watched, hook: Hook) -> None:
    die(watched, "1")
    said(watched, alert_dead_items_sensor)
    let_pass(watched, 400)
    assert said(watched, alert_dead_items_sensor) == "no item died"
    assert len(hook.told) == 1


def test_what_happens_meanwhile_waits_for_the_next_notice(
    watched: Watched, hook: Hook
) -> None:
    die(watched, "1")
    said(watched, alert_dead_items_sensor)
    die(watched, "2")
    die(watched, "3")
    assert "a notice went just now" in said(watched, alert_dead_items_sensor)
    assert len(hook.told) == 1
    let_pass(watched, 400)
    said(watched, alert_dead_items_sensor)
    assert [told["count"] for told in hook.told] == [1, 2]


def test_a_notice_that_is_not_taken_is_sent_again(
    watched: Watched, hook: Hook
) -> None:
    die(watched, "1")
    hook.answers = [503, 503, 503]
    with pytest.raises(TemporaryError) as error:
        said(watched, alert_dead_items_sensor)
    assert CANARY not in str(error.value)
    said(watched, alert_dead_items_sensor)
    assert hook.told[-1]["count"] == 1


def test_more_than_one_notice_holds_is_told_in_the_next(
    watched: Watched, hook: Hook
) -> None:
    die(watched, *(str(n) for n in range(MOST_AT_ONCE + 1)))
    said(watched, alert_dead_items_sensor)
    let_pass(watched, 400)
    said(watched, alert_dead_items_sensor)
    assert [told["count"] for told in hook.told] == [MOST_AT_ONCE, 1]


def test_what_was_dead_before_they_were_switched_on_is_not_told(
    watched: Watched,
) -> None:
    """Or a person who switches them on is flooded."""
    watched.record_dead("1")
    with (
        listening() as hook,
        environment({"NOTIFY_WEBHOOK_URL": hook.url}),
    ):
        said(watched, alert_dead_items_sensor)
        assert said(watched, alert_dead_items_sensor) == "no item died"
    assert hook.told == []


def test_failed_runs_are_told_once_with_their_reason(
    watched: Watched, hook: Hook, alone: DagsterInstance
) -> None:
    watched = Watched(alone)
    fail_runs(watched, 3)
    assert "3 run(s)" in said(watched, alert_failed_runs_sensor)
    (told,) = hook.told
    (group,) = told["groups"]
    assert (group["of"], group["count"]) == ("housekeeping_job", 3)
    assert "the disk is full" in group["reason"]
    watched.sql("UPDATE cursor SET value = value - 'sent_at'")
    assert said(watched, alert_failed_runs_sensor) == "no run failed"
    fail_runs(watched, 1)
    said(watched, alert_failed_runs_sensor)
    assert [told["count"] for told in hook.told] == [3, 1]


def fail_foreign_runs(watched: Watched, count: int) -> None:
    for _ in range(count):
        watched.instance.add_run(
            DagsterRun(
                job_name="of_another_code_location",
                run_id=str(uuid4()),
                status=DagsterRunStatus.FAILURE,
            )
        )


def test_failures_of_others_never_hide_ours(
    watched: Watched,
    hook: Hook,
    alone: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many there are: each look goes on where the last one ended."""
    monkeypatch.setattr("moderate.flows.operations.alerts.MOST_READ", 4)
    watched = Watched(alone)
    fail_foreign_runs(watched, 9)
    fail_runs(watched, 1)
    looks = [said(watched, alert_failed_runs_sensor) for _ in range(3)]
    assert looks[0] == "told of 0 run(s); 4 other(s) are not ours"
    assert looks[2] == "told of 1 run(s); 1 other(s) are not ours"
    (told,) = hook.told
    assert told["count"] == 1


def test_runs_that_a_person_began_are_told_too(
    watched: Watched, hook: Hook, alone: DagsterInstance
) -> None:
    """Jobs of the inbox without a batch, assets without a job."""
    watched = Watched(alone)
    for name in ("matrix_profile_job", "create_asset_object_proof_job"):
        assert build_defs().resolve_job_def(name).run_tags[tags.FLOW]
        alone.add_run(
            DagsterRun(
                job_name=name,
                run_id=str(uuid4()),
                status=DagsterRunStatus.FAILURE,
            )
        )
    for picked in ("building_stock", "of_another_code_location"):
        alone.add_run(
            DagsterRun(
                job_name="__ASSET_JOB",
                run_id=str(uuid4()),
                status=DagsterRunStatus.FAILURE,
                asset_selection=frozenset([AssetKey(picked)]),
            )
        )
    assert "3 run(s); 1 other" in said(watched, alert_failed_runs_sensor)
    assert {group["of"] for group in hook.told[0]["groups"]} == {
        "matrix_profile_job",
        "create_asset_object_proof_job",
        "__ASSET_JOB",
    }


def test_a_chat_gets_text_that_calls_nobody(
    watched: Watched, hook: Hook
) -> None:
    with environment({"NOTIFY_SHAPE": "slack"}):
        die(watched, "1", error="<!channel> & all")
        said(watched, alert_dead_items_sensor)
    (told,) = hook.told
    assert set(told) == {"text"}
    assert "&lt;!channel&gt; &amp; all" in told["text"]


def test_a_notice_stays_short_however_much_happened() -> None:
    many = [
        Happened("kind", f"{chr(97 + n % 26)}{n}x", "1") for n in range(99)
    ]
    made = notice("item(s) gave up", many)
    assert made["count"] == 99
    assert len(made["groups"]) == 10
    assert "and 16 more reasons" in made["text"]
