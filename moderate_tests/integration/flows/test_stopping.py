"""A run that ends before its analysis: evicted, cancelled, or taken over."""

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from dagster import DagsterRunStatus, RunRequest

from moderate.flows.ticks import Patience, settle
from moderate.inbox.model import State
from moderate_tests.integration.flows.platform import Service
from moderate_tests.integration.flows.waiting import meanwhile, wait_until

pytestmark = [
    pytest.mark.services,
    pytest.mark.usefixtures("stand_in_analysis"),
]

HOUR = timedelta(hours=1)
PATIENCE = Patience(silence=HOUR, grace=HOUR)
CANCELLED = "The analysis was cancelled."


def an_analysis_runs(service: Service) -> Callable[[], bool]:
    def runs() -> bool:
        item = service.item()
        return any(map(service.is_running, service.attempts(item)))

    return runs


def interrupt() -> None:
    """What Kubernetes does to a run's worker, and what a person does."""
    os.kill(os.getpid(), signal.SIGTERM)


def canceling(service: Service, run_id: str) -> Callable[[], None]:
    def cancel() -> None:
        run = service.instance.get_run_by_id(run_id)
        assert run
        service.instance.report_run_canceling(run)

    return cancel


def the_slow_request(service: Service) -> RunRequest:
    service.post_job("slow")
    (request,) = service.tick()
    return request


def test_the_next_run_adopts_the_analysis_of_an_evicted_one(
    service: Service,
) -> None:
    """An interrupt that nobody asked for is no cancel and no failure."""
    job = service.post_job("slow")
    (request,) = service.tick()
    with meanwhile(an_analysis_runs(service), interrupt):
        first = service.execute(request)
    assert not first.success
    item = service.item()
    assert (item.state, item.failures) == (State.PENDING, 0)
    (attempt,) = service.attempts(item)
    assert service.is_running(attempt)
    process = service.supervisor(attempt)

    (request,) = service.tick()
    adopted: list[int | None] = []

    def look_and_let_go_on() -> None:
        adopted.append(service.supervisor(attempt))
        service.let_analyses_go_on()

    with meanwhile(
        lambda: service.item().state == State.RUNNING, look_and_let_go_on
    ):
        second = service.execute(request)
    assert second.success
    assert adopted == [process]
    results = service.results(job)
    assert results["output_key"].endswith("-1.html"), "the first attempt's"
    assert len(service.patches(job)) == 1


def test_a_person_who_cancels_stops_the_analysis_and_the_job_is_told(
    service: Service,
) -> None:
    job = service.post_job("slow")
    (request,) = service.tick()
    run_id = str(uuid4())

    def cancel() -> None:
        canceling(service, run_id)()
        interrupt()

    with meanwhile(an_analysis_runs(service), cancel):
        service.execute(request, run_id)
    run = service.instance.get_run_by_id(run_id)
    assert run
    assert run.status == DagsterRunStatus.CANCELED
    item = service.item()
    assert item.state == State.CANCELLED
    assert not service.attempts(item), "the analysis is gone"
    service.tick_and_carry_out()
    assert service.patches(job) == [
        {
            "workflow_job_id": job.id,
            "error": CANCELLED,
            "error_logs_key": None,
            "output_bucket": None,
            "output_key": None,
        }
    ]


def test_a_cancel_is_noticed_without_an_interrupt(service: Service) -> None:
    """The signal may get lost: the heartbeat reads the run's status too."""
    request = the_slow_request(service)
    run_id = str(uuid4())
    with meanwhile(an_analysis_runs(service), canceling(service, run_id)):
        service.execute(request, run_id)
    item = service.item()
    assert item.state == State.CANCELLED
    assert not service.attempts(item)
    run = service.instance.get_run_by_id(run_id)
    assert run
    assert run.status == DagsterRunStatus.CANCELED


def test_a_worker_that_lost_its_batch_stops_without_effects(
    service: Service,
) -> None:
    """Whoever has the item now has its analysis too."""
    job = service.post_job("slow")
    (request,) = service.tick()

    def take_away() -> None:
        service.let_hours_pass()
        settled = settle(
            service.inbox, service.instance, ["matrix_profile"], PATIENCE
        )
        assert settled.freed == 1

    with meanwhile(an_analysis_runs(service), take_away):
        run = service.execute(request)
    assert run.success
    item = service.item()
    assert (item.state, item.failures, item.alone) == (State.PENDING, 1, True)
    assert "no sign of life" in str(item.last_error)
    (attempt,) = service.attempts(item)
    assert service.is_running(attempt)
    assert not service.patches(job)


def test_an_analysis_that_ended_with_nobody_there_is_adopted(
    service: Service,
) -> None:
    """What was computed is not computed again."""
    job = service.post_job("slow")
    (request,) = service.tick()
    with meanwhile(an_analysis_runs(service), interrupt):
        service.execute(request)
    (attempt,) = service.attempts(service.item())
    service.let_analyses_go_on()
    wait_until(lambda: not service.is_running(attempt))
    (run,) = service.tick_and_carry_out()
    assert run.success
    assert service.item().dispatch == 2
    assert service.results(job)["output_key"].endswith("-1.html")


@pytest.mark.parametrize("state", ["dead", "cancelled"])
def test_an_analysis_whose_item_is_over_is_ended(
    service: Service, state: str
) -> None:
    """Its run was killed too often, or a person gave the item up."""
    service.post_job("slow")
    (request,) = service.tick()
    with meanwhile(an_analysis_runs(service), interrupt):
        service.execute(request)
    (attempt,) = service.attempts(service.item())
    service.end_leftovers()
    assert service.is_running(attempt), "the next run adopts it"
    service.sql(
        f"UPDATE work_item SET state = '{state}',"
        " finished_at = clock_timestamp()"
    )
    assert service.end_leftovers().startswith("ended 1 ")
    assert not service.attempts(service.item())
    assert service.end_leftovers().startswith("ended 0 ")


def test_an_analysis_of_an_unknown_item_is_left_alone(
    service: Service,
) -> None:
    """It may be another service's."""
    service.post_job("slow")
    (request,) = service.tick()
    with meanwhile(an_analysis_runs(service), interrupt):
        service.execute(request)
    (attempt,) = service.attempts(service.item())
    service.sql("DELETE FROM work_item")
    service.end_leftovers()
    assert service.is_running(attempt)
