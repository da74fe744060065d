"""The intake and the worker are killed, and what they stand on is.

What holds on both ways is tested with the fast path by the other tests of
the live service: those whose name ends in ``[fast]``.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from moderate.inbox.model import State
from moderate.local.services.base import Service
from moderate_tests.e2e.live import PATIENCE_SECONDS, Live
from moderate_tests.e2e.shared import LIVE
from moderate_tests.e2e.ways import only_fast
from moderate_tests.faults import failpoints as at
from moderate_tests.faults import processes
from moderate_tests.faults.acts import (
    analysis_of,
    assert_done_once,
    post_long,
    release,
)
from moderate_tests.faults.failpoints import Failpoints
from moderate_tests.faults.nothing_lost import assert_nothing_lost
from moderate_tests.faults.test_code_server import (
    both_have_it,
    it_waits_for_a_run,
    only_the_broker_has_it,
    only_the_inbox_has_it,
)
from moderate_tests.faults.workload import stand_in

pytestmark = [only_fast, *LIVE]

INTAKE = "moderate_tests.faults.intake_with_failpoints"
SOON_SECONDS = 30.0


def test_the_run_of_a_message_is_the_worker_s_and_the_sensor_s(
    live: Live,
) -> None:
    """By its tags it is what the sensor would have asked for."""
    job = live.post(stand_in())
    assert_nothing_lost(live, [job])
    assert_done_once(live, job)
    (run,) = live.ui.runs_of(job)
    rows = live.query("SELECT * FROM warm_run WHERE run_id = %s", run.id)
    assert len(rows) == 1
    assert run.tags["dagster/sensor_name"] == "matrix_profile_messages_sensor"
    assert run.tags["dagster/run_key"]


@contextmanager
def frail_intake(live: Live) -> Iterator[subprocess.Popen[bytes]]:
    """Have one intake that may kill itself, and nobody else who takes."""
    stack = live.stack
    stack.daemon.stop()
    stack.intake.stop()
    alive = stack.intake.folder / "frail-alive"
    alive.unlink(missing_ok=True)
    with (stack.intake.folder / "frail.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", INTAKE),
                *(str(stack.code_server.port), str(alive)),
            ],
            env=stack.intake.dagster_environment(),
            cwd=stack.intake.folder,
            stdout=log,
            stderr=log,
        )
    try:
        live.until(alive.exists, "the intake works")
        yield process
    finally:
        process.kill()
        process.wait()
        stack.intake.start()
        stack.daemon.start()


@pytest.mark.parametrize(
    ("boundary", "where_it_is"),
    [
        (at.BEFORE_COMMIT, only_the_broker_has_it),
        (at.BEFORE_ACK, both_have_it),
        (at.BEFORE_DISPATCH, only_the_inbox_has_it),
        (at.BEFORE_REQUEST, it_waits_for_a_run),
    ],
)
def test_an_intake_that_is_killed_at_a_boundary_loses_nothing(
    live: Live,
    failpoints: Failpoints,
    boundary: str,
    where_it_is: Callable[[Live, int], bool],
) -> None:
    jobs: list[int] = []

    def is_dead() -> bool:
        # A message that comes while the intake looks is seen by that look,
        # which may be past the boundary: then by the next message.
        jobs.append(live.post(stand_in()))
        with suppress(subprocess.TimeoutExpired):
            intake.wait(SOON_SECONDS)
        return intake.returncode is not None

    with frail_intake(live) as intake:
        failpoints.arm(boundary)
        live.until(is_dead, f"the intake kills itself {boundary}")
        assert intake.returncode == -signal.SIGKILL
        live.until(lambda: where_it_is(live, jobs[-1]), where_it_is.__name__)
    assert_nothing_lost(live, jobs)
    for job in jobs:
        assert_done_once(live, job)


@pytest.mark.parametrize("name", ["worker", "intake", "postgres", "rabbitmq"])
def test_nothing_is_lost_when_a_part_is_killed_under_load(
    live: Live, name: str
) -> None:
    jobs = [live.post(stand_in(seconds=3)) for _ in range(3)]
    live.until(lambda: live.state(jobs[0]), "the first message is taken")
    part: Service = getattr(live.stack, name)
    part.kill()
    part.start()
    jobs += [live.post(stand_in()) for _ in range(2)]
    assert_nothing_lost(live, jobs)
    assert {live.state(job) for job in jobs} == {State.DONE}


@pytest.mark.parametrize("which", ["worker", "template"])
def test_no_run_goes_on_when_one_process_of_the_worker_is_killed(
    live: Live, which: str
) -> None:
    """Its analysis does, as it does without the fast path."""
    (job,) = post_long(live, 1)
    before = analysis_of(live, job).pid
    (run,) = live.ui.runs_of(job)
    pid = live.ui.process_of(run)
    assert pid
    (template,) = processes.templates(live)
    worker = live.stack.worker
    number = worker.process.pid if which == "worker" else template.pid
    psutil.Process(number).kill()
    psutil.wait_procs([template], PATIENCE_SECONDS)
    live.until(lambda: not psutil.pid_exists(pid), "the run is gone")
    live.until(lambda: not worker.running, "the worker is gone")
    worker.start()
    live.until(lambda: live.ui.run(run.id).is_over, "Dagster knows")
    assert live.ui.run(run.id).status == "FAILURE"
    live.until(lambda: len(live.ui.runs_of(job)) > 1, "another run")
    assert analysis_of(live, job).pid == before
    release(live)
    assert_nothing_lost(live, [job])
    assert_done_once(live, job)
