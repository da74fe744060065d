"""The assets of group operations show what is so, and judge it."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from dagster import (
    AssetKey,
    DagsterRun,
    DagsterRunStatus,
    SensorResult,
    SkipReason,
    instance_for_test,
)
from dagster._core.definitions.observe import observe

from moderate.definitions import all_kinds, build_defs
from moderate.flows.operations.figures import check_specs, flows
from moderate.flows.operations.observing import (
    operations_assets,
    operations_sensor,
)
from moderate.flows.operations.runs import DATA_SERVICES, SCHEDULED
from moderate.local.ports import free_port
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.operations.conftest import (
    KIND,
    OTHER,
    Tick,
    Watched,
)
from moderate_tests.ports import CLOSED_PORT

pytestmark = pytest.mark.services

MATRIX = "operations/matrix_profile"
DIDS = "operations/user_dids"


def tick(watched: Watched, cursor: str | None = None) -> Tick:
    result = watched.evaluate(operations_sensor, cursor)
    assert isinstance(result, SensorResult)
    return Tick(result)


def test_each_flow_has_a_point_with_its_own_numbers(
    watched: Watched,
) -> None:
    watched.record(KIND, "1", "2", "3", "4", "5")
    watched.record(OTHER, "anna")
    watched.sql(
        "UPDATE work_item SET next_attempt_at = clock_timestamp()"
        " + interval '1 hour' WHERE key = '1';"
        "UPDATE work_item SET next_attempt_at = clock_timestamp()"
        " - interval '100 s' WHERE key = '2';"
        "UPDATE work_item SET state = 'done', failures = 2,"
        " finished_at = clock_timestamp() WHERE key = '3';"
        "UPDATE work_item SET state = 'done', finished_at ="
        " clock_timestamp() - interval '2 hours' WHERE key = '4'"
    )
    watched.record_dead("6")
    points = tick(watched).points
    matrix = points[MATRIX]
    # The end of a dead item is told: its final word is an item as well.
    words = watched.rows(
        "SELECT count(*) AS n FROM work_item"
        " WHERE kind = 'platform_job_result'"
    )[0]["n"]
    assert matrix["pending"] == 3 + words
    assert matrix["due"] == 2 + words
    assert 100 <= matrix["oldest due (seconds)"] < 200
    assert matrix["done in the last hour"] == 1
    assert matrix["attempts per done item"] == 3
    assert matrix["dead"] == 1
    assert points[DIDS]["pending"] == 1
    assert points[DIDS]["dead"] == 0


def test_items_that_are_dispatched_or_running_are_told_apart(
    watched: Watched,
) -> None:
    watched.record(OTHER, *(f"user {n}" for n in range(3)))
    assert watched.inbox.dispatch([OTHER]) == 3
    assert tick(watched).points[DIDS]["dispatched"] == 3
    (batch,) = watched.inbox.unbound([OTHER])
    assert batch.flow == "user_dids"
    assert watched.inbox.bind(batch.id, "run")
    point = tick(watched).points[DIDS]
    assert (point["dispatched"], point["running"]) == (0, 3)


def test_a_dead_item_is_shown_with_its_reason(watched: Watched) -> None:
    watched.record_dead("7", error="the column is empty")
    found = tick(watched)
    (row,) = found.points[MATRIX]["dead items"].records
    assert row.data["key"] == "7"
    assert row.data["reason"] == "the column is empty"
    item = watched.rows("SELECT id FROM work_item WHERE state = 'dead'")[0]
    assert f"moderate inbox retry {item['id']} " in row.data["what to do"]
    assert "inbox_admin_job" in row.data["what to do"]
    assert found.checks[f"{MATRIX}:nothing_dead"] is False
    assert found.checks[f"{DIDS}:nothing_dead"] is True


def test_dead_items_that_are_not_shown_are_counted(watched: Watched) -> None:
    watched.record_dead(*(str(number) for number in range(12)))
    point = tick(watched).points[MATRIX]
    assert len(point["dead items"].records) == 10
    assert point["more dead items"].startswith("2 more: ")


def test_an_item_whose_run_waits_in_the_queue_is_late(
    watched: Watched,
) -> None:
    watched.record(OTHER, "anna")
    watched.sql(
        "UPDATE work_item SET next_attempt_at = clock_timestamp()"
        " - interval '901 s'"
    )
    assert watched.inbox.dispatch([OTHER]) == 1
    found = tick(watched)
    assert found.checks[f"{DIDS}:nothing_late"] is False
    assert found.points[DIDS]["oldest due (seconds)"] > 900


def test_the_broker_s_queues_are_counted_and_dead_letters_judged(
    watched: Watched,
) -> None:
    flow = watched.settings.matrix_profile
    with watched.rabbit().channel() as channel:
        channel.declare_durable(flow.queue)
        channel.declare_durable(flow.dead_letter_queue)
        channel.publish_confirmed(flow.queue, b"1")
        channel.publish_confirmed(flow.queue, b"2")
        channel.publish_confirmed(flow.dead_letter_queue, b"null")
    found = tick(watched)
    assert found.points[MATRIX]["messages at the broker"] == 2
    assert found.points[MATRIX]["dead letters"] == 1
    assert found.checks[f"{MATRIX}:no_dead_letters"] is False


def test_an_item_that_is_due_for_longer_than_the_setting_is_late(
    watched: Watched,
) -> None:
    watched.record(KIND, "1")
    assert tick(watched).checks[f"{MATRIX}:nothing_late"] is True
    watched.sql(
        "UPDATE work_item SET next_attempt_at = clock_timestamp()"
        " - interval '901 s'"
    )
    assert tick(watched).checks[f"{MATRIX}:nothing_late"] is False


def test_each_flow_has_the_numbers_of_its_runs(watched: Watched) -> None:
    job = build_defs().resolve_job_def("housekeeping_job")
    with instance_for_test() as alone:
        for status in (DagsterRunStatus.STARTED, DagsterRunStatus.FAILURE):
            alone.create_run_for_job(
                job, status=status, tags={"moderate/flow": "datasets"}
            )
        points = tick(Watched(alone)).points
    datasets = points["operations/datasets"]
    assert datasets["runs at work"] == 1
    assert datasets["runs failed in a day"] == 1
    assert datasets["runs queued"] == 0
    assert points[DIDS]["runs at work"] == 0
    assert "pending" not in datasets, "its work is no items"


POSTGRES = "operations/postgres_ingestion:last_run_succeeded"
DATASETS = "operations/datasets:last_run_succeeded"
SWITCHED_ON = {
    "OPEN_METADATA_HOST": "127.0.0.1",
    "OPEN_METADATA_PORT": str(CLOSED_PORT),
    "OPEN_METADATA_TOKEN": "token",
    "API_BASE_URL": f"http://127.0.0.1:{CLOSED_PORT}",
    "API_USERNAME": "workflows",
    "API_PASSWORD": "password",
}


@pytest.fixture
def alone(watched: Watched) -> Iterator[Watched]:
    """The watchers, in an instance in which nothing ran yet."""
    with instance_for_test() as instance, environment(SWITCHED_ON):
        yield Watched(instance)


def ended(watched: Watched, job: str, *picked: str, well: bool = True) -> None:
    """Let a run have ended, of assets that were picked by hand or of all."""
    ends = DagsterRunStatus.SUCCESS if well else DagsterRunStatus.FAILURE
    watched.instance.add_run(
        DagsterRun(
            job_name=job,
            run_id=str(uuid4()),
            status=ends,
            asset_selection=frozenset(map(AssetKey, picked)) or None,
        )
    )


def test_a_flow_without_items_is_judged_by_its_last_run(
    alone: Watched,
) -> None:
    """It has nothing that could be dead or late."""
    assert tick(alone).checks[POSTGRES] is True
    ended(alone, "postgres_ingestion_job", well=False)
    found = tick(alone)
    assert found.checks[POSTGRES] is False
    assert "postgres_ingestion_job failed" in str(found.result.skip_reason)
    ended(alone, "postgres_ingestion_job")
    assert tick(alone).checks[POSTGRES] is True


def test_the_success_of_one_job_hides_no_failure_of_another(
    alone: Watched,
) -> None:
    ended(alone, "building_stock_job", well=False)
    ended(alone, "genome_project_datasets_job")
    assert tick(alone).checks[DATASETS] is False
    ended(alone, "__ASSET_JOB", "building_stock")
    assert tick(alone).checks[DATASETS] is False, "that is half of the work"
    ended(
        alone,
        "__ASSET_JOB",
        "building_stock",
        "platform_asset_building_stock",
    )
    assert tick(alone).checks[DATASETS] is True


def test_a_flow_that_is_off_is_not_judged_by_what_it_was(
    alone: Watched,
) -> None:
    ended(alone, "postgres_ingestion_job", well=False)
    off = {name: "" for name in SWITCHED_ON if name.startswith("OPEN")}
    with environment(off):
        assert tick(alone).checks[POSTGRES] is True


def test_a_data_service_that_failed_is_shown(alone: Watched) -> None:
    name = "operations/data_services"
    found = tick(alone)
    assert found.checks[f"{name}:no_run_failed_in_a_day"] is True
    ended(alone, "k_anonymity_job", well=False)
    found = tick(alone)
    assert found.checks[f"{name}:no_run_failed_in_a_day"] is False
    assert found.points[name]["runs failed in a day"] == 1
    assert found.points[name]["state"] == "on"


def test_a_run_of_assets_picked_by_hand_is_their_flow_s(
    alone: Watched,
) -> None:
    ended(alone, "__ASSET_JOB", "building_stock", well=False)
    ended(alone, "__ASSET_JOB", "of_another_code_location", well=False)
    found = tick(alone).points
    failed = {
        flow: point["runs failed in a day"]
        for flow, point in found.items()
        if "runs failed in a day" in point
    }
    assert failed.pop("operations/datasets") == 1
    assert set(failed.values()) == {0}


def test_flows_judged_by_runs_are_those_without_items(
    watched: Watched,
) -> None:
    """Or a check could not fail, or no check would look."""
    with_items = {kind.flow for kind in all_kinds(watched.settings)}
    assert {*SCHEDULED, DATA_SERVICES}.isdisjoint(with_items)
    assert {*SCHEDULED, DATA_SERVICES} | with_items == set(flows())
    ours = build_defs().resources or {}
    assert set(ours["our_jobs"].flows.values()) == {*flows(), "operations"}


def test_a_flow_that_is_off_says_what_switches_it_on(
    watched: Watched,
) -> None:
    state = tick(watched).points[DIDS]["state"]
    assert state.startswith("flow user_dids is off: set ")
    assert "KEYCLOAK_SERVER_URL" in state


def test_a_peer_that_is_away_fails_its_check_and_hides_no_other_number(
    watched: Watched,
) -> None:
    away = {"RABBIT_URL": f"amqp://u:canary@127.0.0.1:{free_port()}/"}
    watched.record(OTHER, "anna")
    with environment(away):
        found = tick(watched)
    assert found.checks["operations/peers:rabbitmq_reachable"] is False
    assert found.checks["operations/peers:postgres_reachable"] is True
    assert found.checks["operations/peers:keycloak_reachable"] is True
    assert found.points[DIDS]["pending"] == 1
    assert "canary" not in str(found.result)


def test_the_error_rate_of_a_peer_is_that_of_its_last_probes(
    watched: Watched,
) -> None:
    away = {"RABBIT_URL": f"amqp://u:p@127.0.0.1:{free_port()}/"}
    for _ in range(3):
        tick(watched)
    with environment(away):
        tick(watched)
    rates = tick(watched).points["operations/peers"]
    assert rates["rabbitmq (error rate)"] == 0.25
    assert rates["postgres (error rate)"] == 0


def test_an_inbox_that_is_away_is_said_and_gives_no_numbers(
    watched: Watched,
) -> None:
    with environment({"POSTGRES_PORT": str(free_port())}):
        found = tick(watched)
    assert found.checks["operations/inbox:inbox_readable"] is False
    assert f"{MATRIX}:nothing_dead" not in found.checks
    assert "pending" not in found.points[MATRIX]


def test_an_old_schema_fails_its_check_and_names_the_command(
    watched: Watched,
) -> None:
    tick(watched)
    watched.sql(
        "DELETE FROM schema_version WHERE number ="
        " (SELECT max(number) FROM schema_version)"
    )
    found = tick(watched)
    assert found.checks["operations/inbox:schema_current"] is False
    assert (
        "moderate inbox migrate" in found.points["operations/inbox"]["state"]
    )


def test_a_verdict_is_told_when_it_changes_and_not_each_minute(
    watched: Watched,
) -> None:
    """Dagster keeps each evaluation for ever."""
    first = tick(watched)
    assert len(first.checks) == len(list(check_specs()))
    second = tick(watched, first.result.cursor)
    assert second.checks == {}
    watched.record_dead("1")
    third = tick(watched, second.result.cursor)
    assert third.checks == {f"{MATRIX}:nothing_dead": False}
    watched.sql("UPDATE work_item SET dropped_at = clock_timestamp()")
    fourth = tick(watched, third.result.cursor)
    assert fourth.checks == {f"{MATRIX}:nothing_dead": True}


@pytest.mark.parametrize("cursor", ["", "nonsense", '{"passed": 3}'])
def test_a_damaged_cursor_tells_all_verdicts_anew(
    watched: Watched, cursor: str
) -> None:
    assert len(tick(watched, cursor).checks) == len(list(check_specs()))


def test_every_check_says_what_to_do() -> None:
    for spec in check_specs():
        assert "To do otherwise: " in (spec.description or "")


def test_what_the_sensor_tells_is_stored_as_the_assets_events(
    watched: Watched,
) -> None:
    """The daemon reports them as this does; the UI plots them."""
    watched.record(KIND, "1")
    for event in tick(watched).result.asset_events:
        watched.instance.report_runless_asset_event(event)
    records = watched.instance.fetch_observations(
        AssetKey(["operations", "matrix_profile"]), limit=1
    ).records
    observation: Any = records[0].asset_observation
    assert observation.metadata["pending"].value == 1


def test_the_same_look_can_be_had_by_a_click(watched: Watched) -> None:
    watched.record(KIND, "1")
    result = observe(
        [operations_assets],
        instance=watched.instance,
        resources=build_defs().resources,
    )
    assert result.success
    (seen,) = [
        event.asset_observation_data.asset_observation
        for event in result.get_asset_observation_events()
        if event.asset_key == AssetKey(["operations", "matrix_profile"])
    ]
    assert seen.metadata["pending"].value == 1
    assert len(result.get_asset_check_evaluations()) == len(
        list(check_specs())
    )


def test_the_sensor_is_off_without_an_inbox(watched: Watched) -> None:
    with environment(
        {"POSTGRES_HOST": "", "POSTGRES_USERNAME": "", "POSTGRES_PASSWORD": ""}
    ):
        result = watched.evaluate(operations_sensor)
    assert isinstance(result, SkipReason)
    assert "POSTGRES_HOST" in str(result.skip_message)
