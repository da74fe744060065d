"""Runs in warm workers: what people see of them."""

from collections.abc import Iterator

import psutil
import pytest
from dagster import DagsterEventType

from moderate_tests.integration.fastpath.rig import (
    NOTICED_SECONDS,
    Rig,
    descendants,
    is_gone,
)


@pytest.fixture(scope="module", autouse=True)
def worker(rig: Rig) -> Iterator[None]:
    """One worker for all of these."""
    rig.start_worker()
    yield
    rig.stop_all()


def test_a_run_is_an_ordinary_run_in_a_process_of_its_own(rig: Rig) -> None:
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


def test_a_run_that_fails_is_a_failure(rig: Rig) -> None:
    assert rig.until_over(rig.launch("fail")) == "FAILURE"


def test_a_killed_process_is_noticed_and_leaves_nothing(rig: Rig) -> None:
    run_id = rig.launch("breed")
    pid = rig.line(run_id).pid
    (bred,) = rig.until(lambda: named(pid, "sleep"), "the run has a child")
    psutil.Process(pid).kill()
    assert rig.until_over(run_id, NOTICED_SECONDS) == "FAILURE"
    rig.until(lambda: is_gone(bred.pid), "its child is gone")


def named(pid: int, name: str) -> list[psutil.Process]:
    return [each for each in descendants(pid) if each.name() == name]


def test_a_cancelled_run_ends_as_cancelled(rig: Rig) -> None:
    run_id = rig.launch("stay")
    pid = rig.line(run_id).pid
    assert rig.instance.run_launcher.terminate(run_id)
    assert rig.until_over(run_id) == "CANCELED"
    rig.until(lambda: is_gone(pid), "its process is gone")


def test_a_run_that_is_offered_twice_begins_once(rig: Rig) -> None:
    run_id = rig.launch()
    assert rig.until_over(run_id) == "SUCCESS"
    assert not rig.runs.offer(run_id)
    assert rig.until_over(rig.launch()) == "SUCCESS"
    begun = [each for each in rig.lines() if each.run_id == run_id]
    assert len(begun) == 1


def test_a_run_for_another_image_waits(rig: Rig) -> None:
    other = rig.create()
    rig.runs.offer(other, image="registry/moderate:next")
    assert rig.until_over(rig.launch()) == "SUCCESS"
    found = rig.runs.look(other)
    assert found
    assert found.state == "waiting"
    assert rig.runs.cancel(other) == "over"
