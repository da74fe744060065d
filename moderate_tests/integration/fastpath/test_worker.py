"""Runs in warm workers: what people see of them, and what kills them."""

import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest
from dagster import DagsterEventType

from moderate_tests.integration.fastpath.rig import Rig, descendants

NOTICED_SECONDS = 60.0
"""The promise is 1 s for a run's process and 10 s for a worker; a very busy
machine may need more, and only forgetting is a fault."""


@pytest.fixture
def worker(rig: Rig) -> Iterator[subprocess.Popen[bytes]]:
    yield rig.start_worker()
    rig.stop_all()
    rig.forget_workers()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_run_is_an_ordinary_run_in_a_process_of_its_own(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    run_id = rig.launch()
    assert rig.until_over(run_id) == "SUCCESS"
    line = rig.line(run_id)
    assert line.session == line.pid
    assert line.threads == 1
    assert line.blocked == 0
    assert "said by" in captured(rig, run_id)


def captured(rig: Rig, run_id: str) -> str:
    """Return what a run wrote, as the UI shows it."""
    (event,) = [
        each.dagster_event
        for each in rig.instance.all_logs(run_id)
        if each.dagster_event
        and each.dagster_event.event_type is DagsterEventType.LOGS_CAPTURED
    ]
    key = [run_id, "compute_logs", event.logs_captured_data.file_key]
    shown = rig.instance.compute_log_manager.get_log_data(key)
    return (shown.stdout or b"").decode()


def test_a_run_that_fails_is_a_failure(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    assert rig.until_over(rig.launch("fail")) == "FAILURE"


def test_a_killed_process_is_noticed_and_leaves_nothing(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    run_id = rig.launch("breed")
    pid = rig.line(run_id).pid
    (bred,) = rig.until(lambda: named(pid, "sleep"), "the run has a child")
    psutil.Process(pid).kill()
    assert rig.until_over(run_id, NOTICED_SECONDS) == "FAILURE"
    rig.until(lambda: is_gone(bred.pid), "its child is gone")


def named(pid: int, name: str) -> list[psutil.Process]:
    return [each for each in descendants(pid) if each.name() == name]


def test_a_cancelled_run_ends_as_cancelled(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    run_id = rig.launch("stay")
    pid = rig.line(run_id).pid
    assert rig.instance.run_launcher.terminate(run_id)
    assert rig.until_over(run_id) == "CANCELED"
    rig.until(lambda: is_gone(pid), "its process is gone")


def test_a_run_that_is_cancelled_before_it_begins_never_begins(
    rig: Rig,
) -> None:
    run_id = rig.launch()
    assert rig.instance.run_launcher.terminate(run_id)
    assert rig.status(run_id) == "CANCELED"
    rig.start_worker()
    later = rig.launch()
    assert rig.until_over(later) == "SUCCESS"
    assert run_id not in {each.run_id for each in rig.lines()}
    rig.stop_all()
    rig.forget_workers()


def test_no_orphan_goes_on_when_the_worker_alone_is_killed(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    run_id = rig.launch("stay")
    pid = rig.line(run_id).pid
    template = psutil.Process(pid).ppid()
    worker.kill()
    worker.wait()
    rig.until(lambda: is_gone(template), "the template is gone")
    rig.until(lambda: is_gone(pid), "the run's process is gone")
    rig.start_worker()
    assert rig.until_over(run_id, NOTICED_SECONDS) == "FAILURE"


def test_the_template_takes_its_runs_along_and_the_worker_tells(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    run_id = rig.launch("stay")
    pid = rig.line(run_id).pid
    psutil.Process(psutil.Process(pid).ppid()).kill()
    assert rig.until_over(run_id, NOTICED_SECONDS) == "FAILURE"
    rig.until(lambda: is_gone(pid), "its process is gone")
    assert worker.wait(NOTICED_SECONDS) == 1


def test_a_worker_that_is_told_to_end_evicts_its_runs(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    """Nobody asked for the end of the run, so it is not cancelled."""
    run_id = rig.launch("stay")
    pid = rig.line(run_id).pid
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(NOTICED_SECONDS) == 0
    assert is_gone(pid)
    assert rig.status(run_id) == "FAILURE"


def test_a_run_that_is_offered_twice_begins_once(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    run_id = rig.launch()
    assert rig.until_over(run_id) == "SUCCESS"
    assert not rig.runs.offer(run_id)
    assert rig.until_over(rig.launch()) == "SUCCESS"
    begun = [each for each in rig.lines() if each.run_id == run_id]
    assert len(begun) == 1


def test_a_run_for_another_image_waits(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    other = rig.create()
    rig.runs.offer(other, image="registry/moderate:next")
    assert rig.until_over(rig.launch()) == "SUCCESS"
    found = rig.runs.look(other)
    assert found
    assert found.state == "waiting"
    assert rig.runs.cancel(other) == "over"


@pytest.mark.full
def test_a_worker_that_is_taken_for_dead_ends_its_runs(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    run_id = rig.launch("stay")
    pid = rig.line(run_id).pid
    worker.send_signal(signal.SIGSTOP)
    rig.start_worker()
    assert rig.until_over(run_id, NOTICED_SECONDS) == "FAILURE"
    worker.send_signal(signal.SIGCONT)
    assert worker.wait(NOTICED_SECONDS) == 1
    rig.until(lambda: is_gone(pid), "its process is gone")


@pytest.mark.full
def test_a_run_that_does_not_end_when_cancelled_is_killed(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    run_id = rig.launch("defy")
    pid = rig.line(run_id).pid
    assert rig.instance.run_launcher.terminate(run_id)
    assert rig.until_over(run_id, 90) == "CANCELED"
    rig.until(lambda: is_gone(pid), "its process is gone")
