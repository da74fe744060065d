"""Workers: what kills them, and what becomes of their runs."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg
import pytest
from dagster._core.launcher import WorkerStatus

from moderate.fastpath.endings import SILENCE
from moderate.local.services.postgres import Postgres
from moderate_tests.integration.fastpath.rig import (
    MODULE,
    NOTICED_SECONDS,
    Rig,
    is_gone,
)


@pytest.fixture
def worker(rig: Rig) -> Iterator[subprocess.Popen[bytes]]:
    yield rig.start_worker()
    rig.stop_all()
    rig.forget_workers()


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


def test_a_worker_whose_code_is_changed_starts_anew_with_the_new_one(
    rig: Rig,
) -> None:
    package = rig.folder / "a_location"
    package.mkdir()
    file = package / "__init__.py"
    file.write_text(f"from {MODULE} import defs\n")
    path = f"{rig.environment['PYTHONPATH']}:{rig.folder}"
    worker = rig.start_worker("a_location", PYTHONPATH=path)
    before = rig.launch("stay")
    line = rig.line(before)
    old = psutil.Process(line.pid).ppid()
    os.utime(file, ns=(1, 1))
    rig.until(
        lambda: "no more runs are taken" in rig.explain(),
        "the worker notices",
    )
    after = rig.launch()
    assert rig.status(after) == "STARTING", "it waits for the new code"
    assert not is_gone(line.pid), "what is at work goes on"
    psutil.Process(line.pid).kill()
    assert rig.until_over(after) == "SUCCESS"
    assert worker.poll() is None, "it is the same process"
    assert is_gone(old)
    rig.stop_all()
    rig.forget_workers()


def test_run_monitoring_is_told_how_a_run_stands(rig: Rig) -> None:
    def health(run_id: str) -> WorkerStatus:
        launcher = rig.instance.run_launcher
        return launcher.check_run_worker_health(rig.run(run_id)).status

    assert rig.instance.run_launcher.supports_check_run_worker_health
    assert health(rig.create()) is WorkerStatus.NOT_FOUND
    run_id = rig.launch("stay")
    assert health(run_id) is WorkerStatus.RUNNING, "it waits for a worker"
    worker = rig.start_worker()
    rig.line(run_id)
    assert health(run_id) is WorkerStatus.RUNNING
    worker.kill()
    worker.wait()
    rig.forget_workers()
    assert health(run_id) is WorkerStatus.FAILED


@pytest.mark.full
def test_a_worker_without_dagsters_storage_is_not_given_up(
    rig: Rig, worker: subprocess.Popen[bytes], postgres_server: Postgres
) -> None:
    """Its signs of life go elsewhere, and its runs go on."""
    stays, dies = rig.launch("stay"), rig.launch("stay")
    pid, doomed = rig.line(stays).pid, rig.line(dies).pid
    with closed_to_all(postgres_server, rig.storage):
        psutil.Process(doomed).kill()
        time.sleep(2 * SILENCE.total_seconds())  # the fault
        assert worker.poll() is None
        assert not is_gone(pid)
    assert rig.until_over(dies, NOTICED_SECONDS) == "FAILURE"
    assert not is_gone(pid)


@contextmanager
def closed_to_all(server: Postgres, database: str) -> Iterator[None]:
    """Let nobody reach a database; who is connected is cut off."""
    allow = "ALTER DATABASE {} ALLOW_CONNECTIONS {}"
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    with psycopg.connect(server.url("postgres"), autocommit=True) as conn:
        conn.execute(allow.format(database, "false").encode())
        conn.execute(f"{cut} WHERE datname = %s".encode(), [database])
        try:
            yield
        finally:
            conn.execute(allow.format(database, "true").encode())


@pytest.mark.full
def test_a_run_that_does_not_end_when_cancelled_is_killed(
    rig: Rig, worker: subprocess.Popen[bytes]
) -> None:
    run_id = rig.launch("defy")
    pid = rig.line(run_id).pid
    assert rig.instance.run_launcher.terminate(run_id)
    assert rig.until_over(run_id, 90) == "CANCELED"
    rig.until(lambda: is_gone(pid), "its process is gone")
