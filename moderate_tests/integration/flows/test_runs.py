"""One run per message: bound once, tried again, told how it ended."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy.exc
from dagster import ExecuteInProcessResult

from moderate.inbox import database
from moderate.inbox.model import State
from moderate.local.services.s3 import OUTPUTS_BUCKET, S3
from moderate_tests.integration.flows.platform import (
    WORDS,
    Service,
    environment,
)
from moderate_tests.integration.flows.waiting import meanwhile, wait_until
from moderate_tests.integration.operations.conftest import output_of
from moderate_tests.ports import CLOSED_PORT

pytestmark = [
    pytest.mark.services,
    pytest.mark.usefixtures("stand_in_analysis"),
]


@pytest.fixture
def two_failures(settings: dict[str, str]) -> None:
    settings["MATRIX_PROFILE_MAX_FAILURES"] = "2"


def failure_of(run: ExecuteInProcessResult) -> str:
    (failed,) = [e for e in run.all_events if e.is_step_failure]
    error = failed.step_failure_data.error
    assert error
    return str(error.message)


def failure_figures(run: ExecuteInProcessResult) -> dict[str, Any]:
    (failed,) = [e for e in run.all_events if e.is_step_failure]
    told = failed.step_failure_data.user_failure_data
    assert told
    return {name: each.value for name, each in told.metadata.items()}


def stored(s3: S3, key: str) -> bytes:
    found = s3.client().get_object(Bucket=OUTPUTS_BUCKET, Key=key)
    return found["Body"].read()


def test_a_run_says_whose_job_it_is(service: Service) -> None:
    job = service.post_job()
    (request,) = service.tick()
    item = service.item()
    assert request.run_key == f"matrix_profile:{item.id}:1"
    assert request.tags["workflow_job_id"] == str(job.id)
    batch = {"config": {"batch_id": item.batch_id}}
    assert request.run_config == {"ops": {"run_matrix_profile": batch}}


def test_a_second_run_of_a_batch_ends_without_effects(
    service: Service,
) -> None:
    """Such as a re-execution from the UI, or the run of a resumed tick."""
    job = service.post_job()
    (request,) = service.tick()
    second: list[ExecuteInProcessResult] = []
    assert service.execute(request).success
    done = service.items()
    second.append(service.execute(request))
    assert second[0].success
    assert service.items() == done
    assert len(service.patches(job)) == 1


def test_a_run_beside_the_one_that_works_ends_without_effects(
    service: Service,
) -> None:
    job = service.post_job("slow")
    (request,) = service.tick()
    beside: list[ExecuteInProcessResult] = []

    def run_beside() -> None:
        beside.append(service.execute(request))
        service.let_analyses_go_on()

    with meanwhile(lambda: service.attempts(service.item()), run_beside):
        assert service.execute(request).success
    assert beside[0].success
    assert len(service.patches(job)) == 1
    assert service.item().dispatch == 1


def test_a_failed_attempt_re_executed_from_the_ui_is_not_done_twice(
    service: Service,
) -> None:
    service.post_job("later")
    (request,) = service.tick()
    service.execute(request)
    before = service.item()
    assert service.execute(request).success
    assert service.item() == before


def test_a_temporary_failure_is_tried_again_after_a_backoff(
    service: Service,
) -> None:
    job = service.post_job("later-once")
    (run,) = service.tick_and_carry_out()
    assert "the data could not be reached" in failure_of(run)
    assert "tried again in" in failure_of(run)
    item = service.item()
    assert (item.state, item.failures) == (State.PENDING, 1)
    assert item.next_attempt_at > item.updated_at
    assert not service.patches(job)
    service.let_waiting_be_due()
    (run,) = service.tick_and_carry_out()
    assert run.success
    assert service.results(job)["error"] is None
    assert service.results(job)["output_key"].endswith("-2.html")
    assert not service.attempts(item)


def test_a_run_shows_what_became_of_its_item(service: Service) -> None:
    job = service.post_job("later-once")
    (run,) = service.tick_and_carry_out()
    item = service.item()
    shown = failure_figures(run)
    assert (shown["item"], shown["platform job"]) == (item.id, str(job.id))
    assert shown["failures"] == 1
    assert "the data could not be reached" in shown["reason"]
    told = datetime.fromisoformat(shown["next attempt"])
    assert abs(told - item.next_attempt_at) < timedelta(seconds=60)
    service.let_waiting_be_due()
    (run,) = service.tick_and_carry_out()
    shown = {name: each.value for name, each in output_of(run).items()}
    assert (shown["item"], shown["platform job"]) == (item.id, str(job.id))
    assert shown["failures"] == 1
    assert shown["report"].startswith("s3://")


@pytest.mark.usefixtures("two_failures")
def test_failures_used_up_are_dead_and_the_platform_is_told(
    service: Service, s3: S3
) -> None:
    job = service.post_job("later")
    service.tick_and_carry_out()
    service.let_waiting_be_due()
    (run,) = service.tick_and_carry_out()
    item = service.item()
    assert (item.state, item.failures) == (State.DEAD, 2)
    assert f"moderate inbox retry {item.id} --why" in failure_of(run)
    shown = failure_figures(run)
    assert shown["failures"] == 2
    assert "dead" in shown["next attempt"]
    (told,) = service.patches(job)
    assert told["error"] == (
        "The analysis could not reach something that it needs:"
        " the data could not be reached"
    )
    assert told["output_key"] is None
    assert stored(s3, told["error_logs_key"]) == (
        b"the data could not be reached\n"
    )
    assert not service.attempts(item)


def test_a_permanent_failure_is_dead_at_once(service: Service, s3: S3) -> None:
    job = service.post_job("bad")
    service.tick_and_carry_out()
    item = service.item()
    assert (item.state, item.failures) == (State.DEAD, 1)
    (told,) = service.patches(job)
    assert told["error"] == "the column is empty"
    assert stored(s3, told["error_logs_key"]) == b"the column is empty\n"


def test_a_missing_report_is_a_failure_and_the_next_attempt_is_a_new_one(
    service: Service,
) -> None:
    """To adopt what ended well without a report would end so again."""
    job = service.post_job("silent-once")
    (run,) = service.tick_and_carry_out()
    assert "left no report" in failure_of(run)
    assert service.item().failures == 1
    service.let_waiting_be_due()
    (run,) = service.tick_and_carry_out()
    assert run.success
    assert service.results(job)["output_key"].endswith("-2.html")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"S3_SECRET_ACCESS_KEY": "not-the-secret"}, "S3_SECRET_ACCESS_KEY"),
        ({"S3_ENDPOINT_URL": f"http://127.0.0.1:{CLOSED_PORT}"}, "connect"),
    ],
)
def test_an_s3_that_refuses_kills_no_item(
    service: Service, change: dict[str, str], reason: str
) -> None:
    """Wrong keys and a server that is down are not the job's fault."""
    job = service.post_job()
    with environment(change):
        (run,) = service.tick_and_carry_out()
    assert reason in failure_of(run)
    assert service.item().state == State.PENDING
    service.let_waiting_be_due()
    (run,) = service.tick_and_carry_out()
    assert run.success
    assert len(service.patches(job)) == 1


def test_a_run_goes_on_when_the_inbox_cant_take_its_heartbeat(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The lease holds until the heartbeat is missed for long."""
    monkeypatch.setattr(database, "LOCK_TIMEOUT", timedelta(seconds=1))
    service.post_job("slow")
    (request,) = service.tick()

    def lock_for_a_while() -> None:
        conninfo = service.inbox.where.conninfo
        with psycopg.connect(conninfo) as conn:
            conn.execute("LOCK TABLE batch")
            wait_until(lambda: "no heartbeat" in caplog.text)
        service.let_analyses_go_on()

    with meanwhile(lambda: service.attempts(service.item()), lock_for_a_while):
        assert service.execute(request).success
    assert service.item().failures == 0


def test_a_run_goes_on_when_dagster_cant_say_how_it_stands(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's storage may restart while an analysis works."""
    service.post_job("slow")
    (request,) = service.tick()
    asked: list[str] = []
    real = service.instance.get_run_by_id

    def unreachable(run_id: str) -> Any:
        if len(asked) < 2:
            asked.append(run_id)
            raise sqlalchemy.exc.OperationalError("", {}, Exception("gone"))
        service.let_analyses_go_on()
        return real(run_id)

    def break_storage() -> None:
        monkeypatch.setattr(service.instance, "get_run_by_id", unreachable)

    with meanwhile(lambda: service.attempts(service.item()), break_storage):
        assert service.execute(request).success
    assert len(asked) == 2
    assert service.item().failures == 0


def test_a_batch_of_another_kind_is_left_alone(service: Service) -> None:
    """A person may type any number into the launchpad."""
    service.post_job()
    (request,) = service.tick()
    wrong = request.with_replaced_attrs(
        job_name="platform_job_results_job",
        run_config={
            "ops": {
                "publish_matrix_profile_result": {"config": {"batch_id": 1}}
            }
        },
    )
    service.execute(wrong)
    item = service.item()
    assert (item.failures, item.outcome) == (0, None)
    assert not service.items(WORDS)
    service.carry_out(service.tick())
    assert service.item().state == State.DONE
