"""What people do: cancel, execute again, post many jobs at once."""

import pytest

from moderate.inbox.model import State
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import LIVE, RUNS_AT_ONCE
from moderate_tests.e2e.webserver import Run
from moderate_tests.faults import processes
from moderate_tests.faults.nothing_lost import assert_nothing_lost
from moderate_tests.faults.workload import Evidence, stand_in

pytestmark = LIVE

LONG = 300
WAITING = {"QUEUED", "STARTING"}
"""For a slot of the queue, or for one of the worker."""

CANCELLED = "The analysis was cancelled."
BURST = 6
SECONDS_PER_JOB = 12


def run_of(live: Live, job: int) -> Run:
    """Wait for the one run of a job."""
    return live.until(lambda: live.ui.runs_of(job), "a run is asked for")[0]


def status_of(live: Live, run: Run) -> str:
    """Wait for the end of a run."""
    live.until(lambda: live.ui.run(run.id).is_over, f"run {run.id} is over")
    return live.ui.run(run.id).status


def assert_cancelled_and_told_once(live: Live, job: int) -> None:
    live.until_settled([job])
    assert live.state(job) is State.CANCELLED
    assert [each["error"] for each in live.patches(job)] == [CANCELLED]
    assert processes.analyses_of(live.stack.root, job) == []


def test_cancelling_a_run_stops_its_analysis_and_tells_the_platform(
    live: Live,
) -> None:
    job = live.post(stand_in(seconds=LONG))
    live.until(
        lambda: processes.analyses_of(live.stack.root, job),
        "the analysis runs",
    )
    run = run_of(live, job)
    live.ui.terminate(run)
    assert_cancelled_and_told_once(live, job)
    assert status_of(live, run) == "CANCELED"


def test_cancelling_a_run_that_waits_for_its_start_tells_the_platform(
    live: Live,
) -> None:
    # As many as run at once, and one more.
    jobs = [live.post(stand_in(seconds=LONG)) for _ in range(RUNS_AT_ONCE + 1)]
    live.until(
        lambda: len(processes.analyses(live.stack.root)) == RUNS_AT_ONCE,
        "as many analyses as can be",
    )
    runs = {job: run_of(live, job) for job in jobs}
    (last,) = (job for job in jobs if runs[job].status in WAITING)
    # What waits for a worker is starting: Dagster cancels that by force only.
    live.ui.terminate(runs[last], by_force=runs[last].status == "STARTING")
    assert status_of(live, runs[last]) == "CANCELED"
    for job in set(jobs) - {last}:
        live.ui.terminate(runs[job])
    for job in jobs:
        assert_cancelled_and_told_once(live, job)
    assert Evidence(live.stack.root).of(last) == []


def test_a_done_run_that_is_executed_again_has_no_effect(live: Live) -> None:
    job = live.post(stand_in())
    assert_nothing_lost(live, [job])
    before = live.item(job)
    run = run_of(live, job)
    assert status_of(live, run) == "SUCCESS"
    again = live.ui.reexecute(run)
    assert status_of(live, live.ui.run(again)) == "SUCCESS"
    assert live.item(job) == before
    assert len(live.patches(job)) == 1
    assert len(Evidence(live.stack.root).of(job)) == 1


@pytest.mark.parametrize(
    "number", [BURST, pytest.param(7 * BURST, marks=pytest.mark.full)]
)
def test_a_burst_of_jobs_is_done_to_the_last(live: Live, number: int) -> None:
    jobs = [live.post(stand_in()) for _ in range(number)]
    live.until_settled(jobs, within=number * SECONDS_PER_JOB)
    assert_nothing_lost(live, jobs)
    assert {live.state(job) for job in jobs} == {State.DONE}
