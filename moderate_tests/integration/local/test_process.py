"""A supervised process is awaited, explained, and ended as a whole."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from moderate.local.command import run_to_end
from moderate.local.process import PartError, Process
from moderate_tests.integration.local.rig import (
    DEAF,
    WITH_DAEMON,
    announced_pids,
    await_that,
    lives,
    process_of,
)

SUPERVISOR = """
import sys, time
from pathlib import Path
from moderate_tests.integration.local.rig import (
    WITH_DAEMON, announced_pids, process_of,
)
process = process_of(WITH_DAEMON, Path(sys.argv[1]))
process.start()
print(*announced_pids(process), flush=True)
time.sleep(600)
"""


class Starter:
    """Makes processes and stops them all at the test's end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Process] = []

    def __call__(self, source: str, **options: Any) -> Process:
        process = process_of(source, self._folder, **options)
        self._made.append(process)
        return process

    def stop(self) -> None:
        for process in self._made:
            process.stop()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    starter.stop()


def test_one_that_ends_early_is_named_with_the_end_of_its_log(
    program: Starter,
) -> None:
    process = program(
        "import sys; sys.exit('no such table')", ready=lambda: False
    )
    with pytest.raises(PartError) as caught:
        process.start()
    assert "program: ended with exit code 1" in str(caught.value)
    assert "no such table" in str(caught.value)


def test_an_earlier_start_is_not_shown_as_the_reason(
    program: Starter, tmp_path: Path
) -> None:
    (tmp_path / "program.log").write_text("an old disaster\n")
    process = program("import sys; sys.exit(3)", ready=lambda: False)
    with pytest.raises(PartError, match="exit code 3") as caught:
        process.start()
    assert "an old disaster" not in str(caught.value)


def test_one_that_is_not_ready_in_time_is_stopped(program: Starter) -> None:
    spoken = threading.Event()
    process = program(DEAF, ready=spoken.is_set, start_timeout=0.3, grace=0.1)
    with pytest.raises(PartError, match="not ready within"):
        process.start()
    assert not process.running


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    process = Process(
        "program",
        ["/no/such/program"],
        environment={},
        folder=tmp_path,
        log=tmp_path / "log",
        ready=lambda: False,
    )
    with pytest.raises(PartError, match=r"/no/such/program.*No such file"):
        process.start()


def test_stop_ends_what_has_a_session_of_its_own(program: Starter) -> None:
    process = program(WITH_DAEMON)
    process.start()
    pids = announced_pids(process)
    assert all(lives(pid) for pid in pids)
    process.stop()
    assert not any(lives(pid) for pid in pids)


def test_stop_kills_what_does_not_listen(program: Starter) -> None:
    process = program(DEAF, grace=0.2)
    process.start()
    process.stop()
    assert process.exit_code == -signal.SIGKILL


def test_kill_leaves_nothing(program: Starter) -> None:
    process = program(WITH_DAEMON)
    process.start()
    pids = announced_pids(process)
    process.kill()
    assert not any(lives(pid) for pid in pids)


def test_an_analysis_outlives_a_kill_of_its_worker_but_not_a_stop(
    program: Starter,
) -> None:
    """As its pod does in production; ``stop`` leaves nothing all the same."""
    process = program(WITH_DAEMON, spares_sessions=True)
    process.start()
    worker, analysis = announced_pids(process)
    process.kill()
    assert [lives(worker), lives(analysis)] == [False, True]
    process.start()
    _, other = announced_pids(process)
    assert lives(analysis)
    process.stop()
    assert not lives(analysis)
    assert not lives(other)


def test_it_outlives_the_thread_that_started_it(program: Starter) -> None:
    """The kernel's parent-death signal is sent when a thread ends."""
    process = program(WITH_DAEMON)
    thread = threading.Thread(target=process.start)
    thread.start()
    thread.join()
    assert process.running
    assert all(lives(pid) for pid in announced_pids(process))


def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(word) for word in supervisor.stdout.readline().split()]
        assert len(pids) == 2
        assert all(lives(pid) for pid in pids)
        supervisor.kill()
    await_that(
        lambda: not any(lives(pid) for pid in pids), "everything has ended"
    )


def test_the_command_does_not_outlive_its_guard(program: Starter) -> None:
    process = program(DEAF)
    process.start()
    pid = process.pid
    assert pid is not None
    guard = psutil.Process(pid).ppid()
    os.kill(guard, signal.SIGKILL)
    await_that(lambda: not lives(pid), "the kernel has killed the command")
    await_that(lambda: not process.running, "the supervisor has noticed")


def test_a_start_can_be_given_up(program: Starter) -> None:
    cancelled = threading.Event()

    def ready() -> bool:
        cancelled.set()
        return False

    process = program(DEAF, ready=ready, cancelled=cancelled, grace=0.1)
    with pytest.raises(PartError, match="cancelled"):
        process.start()
    assert not process.running


def test_a_failed_build_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(PartError) as caught:
        run_to_end(
            "s3",
            "building it",
            [
                sys.executable,
                "-c",
                "import sys; sys.exit('missing semicolon')",
            ],
            environment={},
            folder=tmp_path,
            log=tmp_path / "build.log",
            timeout=90,
        )
    assert "s3: building it ended with exit code 1" in str(caught.value)
    assert "missing semicolon" in str(caught.value)


def test_a_build_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"building it took more than 0 s"):
        run_to_end(
            "s3",
            "building it",
            [sys.executable, "-c", WITH_DAEMON],
            environment={},
            folder=tmp_path,
            log=tmp_path / "build.log",
            timeout=0.1,
        )
