"""A batch that nobody works on is freed or cancelled; no other one is."""

import pytest
from dagster import DagsterRunStatus, RunRequest

from moderate.inbox.lease import Lease
from moderate.inbox.model import State
from moderate_tests.integration.flows.platform import WORDS, Service

pytestmark = pytest.mark.services

MESSAGE = (
    b'{"workflow_job_id": 7, "analysis_variable": "report",'
    b' "bucket": "moderate", "key": "a.csv"}'
)


def dispatched(service: Service) -> RunRequest:
    """Bring a message as far as a request for its run."""
    service.publish(MESSAGE)
    (request,) = service.tick()
    return request


def bound(
    service: Service, request: RunRequest, status: DagsterRunStatus
) -> Lease:
    """Let a run begin that then stands as Dagster says."""
    run = service.create_run(request, status)
    lease = service.inbox.bind(service.item().batch_id or 0, run.run_id)
    assert lease
    lease.begin(lease.items)
    return lease


def test_a_batch_without_a_run_is_freed_after_the_grace(
    service: Service,
) -> None:
    """The tick died between its commit and the run request."""
    first = dispatched(service)
    (again,) = service.tick()
    assert again.run_key == first.run_key, "within the grace it is asked again"
    service.let_hours_pass()
    (second,) = service.tick()
    assert second.run_key == "matrix_profile:1:2"
    assert service.item().failures == 0


@pytest.mark.parametrize(
    "status", [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING]
)
def test_a_run_that_has_yet_to_start_has_as_long_as_it_takes(
    service: Service, status: DagsterRunStatus
) -> None:
    """Dagster's run monitoring ends one whose start takes too long."""
    request = dispatched(service)
    service.create_run(request, status)
    for _ in range(2):
        service.let_hours_pass()
        (again,) = service.tick()
        assert again.run_key == request.run_key


@pytest.mark.parametrize(
    "status", [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTED]
)
def test_a_started_run_that_never_binds_is_freed_after_a_silence(
    service: Service, status: DagsterRunStatus
) -> None:
    """A killed local run stays STARTED for ever."""
    request = dispatched(service)
    service.create_run(request, status)
    service.let_hours_pass()
    (same,) = service.tick()
    assert same.run_key == request.run_key, "seen started just now"
    service.let_hours_pass()
    (second,) = service.tick()
    assert second.run_key == "matrix_profile:1:2"
    assert service.item().failures == 0


@pytest.mark.parametrize(
    "status", [DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS]
)
def test_a_run_that_ended_unbound_is_freed(
    service: Service, status: DagsterRunStatus
) -> None:
    request = dispatched(service)
    service.create_run(request, status)
    service.let_hours_pass()
    (second,) = service.tick()
    assert second.run_key == "matrix_profile:1:2"
    assert service.item().failures == 0


def test_a_run_cancelled_in_the_queue_cancels_its_item(
    service: Service,
) -> None:
    request = dispatched(service)
    service.create_run(request, DagsterRunStatus.CANCELED)
    service.let_hours_pass()
    service.tick()
    item = service.item()
    assert item.state == State.CANCELLED
    assert item.outcome == {"error": "The analysis was cancelled."}
    results = service.word().payload["results"]
    assert results["error"] == "The analysis was cancelled."


def test_a_silent_run_is_freed_counted_and_goes_alone(
    service: Service,
) -> None:
    request = dispatched(service)
    bound(service, request, DagsterRunStatus.STARTED)
    service.let_hours_pass()
    assert not service.tick()
    item = service.item()
    assert (item.state, item.failures, item.alone) == (State.PENDING, 1, True)
    assert "gave no sign of life" in str(item.last_error)


def test_a_silent_run_that_a_person_cancelled_cancels_its_item(
    service: Service,
) -> None:
    """Its worker was killed before it could say so."""
    request = dispatched(service)
    bound(service, request, DagsterRunStatus.CANCELED)
    service.let_hours_pass()
    service.tick()
    assert service.item().state == State.CANCELLED
    assert len(service.items(WORDS)) == 1


@pytest.mark.parametrize(
    "status",
    [
        DagsterRunStatus.FAILURE,
        DagsterRunStatus.CANCELING,
        DagsterRunStatus.CANCELED,
    ],
)
def test_what_dagster_says_takes_no_batch_from_a_run_that_lives(
    service: Service, status: DagsterRunStatus
) -> None:
    """A live pod may be marked failed."""
    request = dispatched(service)
    lease = bound(service, request, status)
    service.let_hours_pass()
    lease.beat()
    assert not service.tick()
    assert service.item().state == State.RUNNING
    lease.beat()


def test_failures_by_silence_are_capped_too(
    settings: dict[str, str], service: Service
) -> None:
    """An analysis that kills its worker must not do so for ever."""
    request = dispatched(service)
    service.sql("UPDATE work_item SET failures = 3")
    bound(service, request, DagsterRunStatus.STARTED)
    service.let_hours_pass()
    service.tick()
    assert service.item().state == State.DEAD
    results = service.word().payload["results"]
    assert "ended 4 time(s) without a result" in results["error"]
