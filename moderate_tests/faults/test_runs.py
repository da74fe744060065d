"""Runs, analyses and supervisors are killed."""

from dataclasses import dataclass

import psutil
import pytest

from moderate.inbox.model import State
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import LIVE, RUNS_AT_ONCE, shared_live
from moderate_tests.e2e.ways import Way, only_stock
from moderate_tests.faults import failpoints as at
from moderate_tests.faults import processes
from moderate_tests.faults.acts import (
    analysis_of,
    assert_done_once,
    post_long,
)
from moderate_tests.faults.failpoints import Failpoints
from moderate_tests.faults.nothing_lost import assert_nothing_lost
from moderate_tests.faults.workload import Evidence, stand_in

pytestmark = LIVE


def next_run(live: Live, job: int, but: str) -> str | None:
    """Return the run that works on a job, if it is another one."""
    item = live.item(job)
    assert item
    if item["state"] == State.RUNNING and item["run_id"] != but:
        return str(item["run_id"])
    return None


def test_runs_killed_at_every_boundary_lose_nothing(
    live: Live, failpoints: Failpoints
) -> None:
    for boundary in at.IN_RUNS:
        failpoints.arm(boundary)
    jobs = [live.post(stand_in()) for _ in at.IN_RUNS]
    assert_nothing_lost(live, jobs)
    assert not any(map(failpoints.is_armed, at.IN_RUNS))
    for job in jobs:
        assert live.state(job) is State.DONE
        # Whatever a killed run had launched was adopted.
        assert len(Evidence(live.stack.root).of(job)) == 1


@dataclass(frozen=True)
class Aftermath:
    """Three jobs of which one process each was killed, and what followed.

    Attributes:
        live: The service.
        run: The job whose run was killed.
        analysis: The job whose analysis was killed.
        supervisor: The job whose analysis' supervisor was killed.
        pid: The process of the first job's analysis, before the kill.
        adopted: The same, once another run worked on the job.
    """

    live: Live
    run: int
    analysis: int
    supervisor: int
    pid: int
    adopted: int


@pytest.fixture(scope="module")
def aftermath(pytestconfig: pytest.Config, way: Way) -> Aftermath:
    live = shared_live(pytestconfig, way)
    evidence = Evidence(live.stack.root)
    run, analysis, supervisor = jobs = post_long(live, 3)
    pid = analysis_of(live, run).pid
    (first,) = live.ui.runs_of(run)
    process = live.ui.process_of(first)
    assert process
    psutil.Process(process).kill()
    analysis_of(live, analysis).kill()
    parent = analysis_of(live, supervisor).parent()
    assert parent in processes.supervisors(live.stack.root)
    parent.kill()
    live.until(lambda: next_run(live, run, first.id), "the next run works")
    adopted = analysis_of(live, run).pid
    live.until(
        lambda: len(evidence.of(analysis)) + len(evidence.of(supervisor)) == 4,
        "a second analysis of both",
    )
    evidence.release()
    assert_nothing_lost(live, jobs)
    return Aftermath(live, run, analysis, supervisor, pid, adopted)


def test_a_killed_run_leaves_its_analysis_to_the_next_one(
    aftermath: Aftermath,
) -> None:
    assert aftermath.adopted == aftermath.pid
    assert_done_once(aftermath.live, aftermath.run)


def test_a_killed_analysis_is_tried_again(aftermath: Aftermath) -> None:
    assert aftermath.live.state(aftermath.analysis) is State.DONE


def test_a_killed_supervisor_leaves_nothing_and_is_replaced(
    aftermath: Aftermath,
) -> None:
    assert aftermath.live.state(aftermath.supervisor) is State.DONE


@only_stock
@pytest.mark.full
def test_runs_that_died_with_the_code_server_do_not_fill_the_queue(
    live: Live,
) -> None:
    jobs = post_long(live, RUNS_AT_ONCE)
    before = {job: analysis_of(live, job).pid for job in jobs}
    dead = {job: live.ui.runs_of(job)[0].id for job in jobs}
    live.stack.code_server.kill()
    live.stack.code_server.start()
    live.until(
        lambda: all(next_run(live, job, dead[job]) for job in jobs),
        "the next runs work",
    )
    assert {job: analysis_of(live, job).pid for job in jobs} == before
    Evidence(live.stack.root).release()
    assert_nothing_lost(live, jobs)
    for job in jobs:
        assert_done_once(live, job)
    assert all(run.is_over for job in jobs for run in live.ui.runs_of(job))
