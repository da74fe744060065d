"""The process launcher under kill -9, at any instant."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from moderate.analyses import process
from moderate.analyses.launcher import Absent, Finished, Running
from moderate.analyses.outcomes import Outcome, Reason
from moderate.analyses.process import ProcessLauncher
from moderate.analyses.process_order import Answer
from moderate.analyses.process_state import LOCK, AttemptDir
from moderate_tests.contract.launchers import programs
from moderate_tests.unit.analyses.attempts import (
    LONG,
    SUCCESS,
    run,
    supervisor_of,
)
from moderate_tests.unit.analyses.worker import ATTEMPT, spec

SEED = 20_240_611

Worker = subprocess.Popen[str]


@pytest.fixture
def start_worker(root: Path) -> Iterator[Callable[[str], Worker]]:
    """Start a worker that is ready to launch a program when told to."""
    with ExitStack() as stack:

        def start(source: str) -> Worker:
            module = "moderate_tests.unit.analyses.worker"
            worker = subprocess.Popen(
                [sys.executable, "-m", module, str(root), source],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            stack.enter_context(worker)
            stack.callback(kill, worker)
            assert said(worker) == "ready"
            return worker

        yield start


def tell(worker: Worker) -> None:
    assert worker.stdin
    worker.stdin.write("\n")
    worker.stdin.flush()


def said(worker: Worker) -> str:
    assert worker.stdout
    return worker.stdout.readline().strip()


def kill(worker: Worker) -> None:
    """Kill a worker with its whole process group and session."""
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def test_the_analysis_survives_its_worker(
    launcher: ProcessLauncher,
    start_worker: Callable[[str], Worker],
    tmp_path: Path,
) -> None:
    gate, file = tmp_path / "gate", tmp_path / "lines"
    source = programs.appends(file)
    source += f"while not __import__('os').path.exists({str(gate)!r}):\n"
    source += "    time.sleep(0.02)\nprint('report')"
    worker = start_worker(source)
    tell(worker)
    assert said(worker) == "Running"
    kill(worker)

    adopted = launcher.launch(spec(source))
    gate.touch()

    assert isinstance(adopted, Running)
    assert launcher.wait(ATTEMPT, LONG) == SUCCESS
    assert launcher.logs(ATTEMPT, 100) == b"report\n"
    assert file.read_text() == "once\n"


@pytest.mark.parametrize("kills", [12])
def test_a_worker_killed_while_it_launches_starts_at_most_one(
    root: Path,
    start_worker: Callable[[str], Worker],
    tmp_path: Path,
    kills: int,
) -> None:
    """Seeded: from before the directory is made until after the answer."""
    chance = random.Random(SEED)
    for number in range(kills):
        file = tmp_path / f"lines-{number}"
        source = programs.appends(file)
        worker = start_worker(source)
        tell(worker)
        time.sleep(chance.uniform(0, 0.15))
        kill(worker)
        launcher = ProcessLauncher(root)

        assert run(launcher, spec(source)) == SUCCESS
        assert file.read_text() == "once\n"
        launcher.clean_up(ATTEMPT)


def test_workers_that_launch_at_once_start_one(
    launcher: ProcessLauncher,
    start_worker: Callable[[str], Worker],
    tmp_path: Path,
) -> None:
    file = tmp_path / "lines"
    source = programs.appends(file)
    workers = [start_worker(source) for _ in range(8)]

    for worker in workers:
        tell(worker)
    answers = {said(worker) for worker in workers}

    assert answers <= {"Pending", "Running", "Finished"}
    assert launcher.wait(ATTEMPT, LONG) == SUCCESS
    assert file.read_text() == "once\n"


def test_killing_the_supervisor_ends_all_and_loses_the_outcome(
    launcher: ProcessLauncher, root: Path, tmp_path: Path
) -> None:
    """The kernel kills the command; what that began, the next look does."""
    lock, child = tmp_path / "lock", tmp_path / "child"
    grandchild = f"""
subprocess.Popen(
    [sys.executable, "-I", "-S", "-c", {programs.holds(child)!r}],
    start_new_session=True, stdout=subprocess.PIPE,
).stdout.readline()
"""
    launcher.launch(spec(programs.holds(lock, grandchild)))
    programs.until(lambda: b"up" in launcher.logs(ATTEMPT, 100))

    os.kill(supervisor_of(root), signal.SIGKILL)
    programs.until(lambda: not programs.is_held(lock))
    ended = launcher.wait(ATTEMPT, LONG)

    assert isinstance(ended, Finished)
    assert ended.outcome.reason is Reason.LOST
    assert not programs.is_held(child)
    assert launcher.logs(ATTEMPT, 100) == b"up\n"


def test_a_lost_attempt_is_not_started_again(
    launcher: ProcessLauncher, root: Path, tmp_path: Path
) -> None:
    """Who knows how far it came: the inbox dispatches a new attempt."""
    what = spec(programs.holds(tmp_path / "lock"))
    launcher.launch(what)
    os.kill(supervisor_of(root), signal.SIGKILL)
    lost = launcher.wait(ATTEMPT, LONG)

    assert launcher.launch(what) == lost
    assert isinstance(lost, Finished)


def test_a_killed_command_is_told_from_a_lost_one(
    launcher: ProcessLauncher, tmp_path: Path
) -> None:
    source = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

    ended = run(launcher, spec(source))

    outcome = Outcome(Reason.KILLED, -9, 9, "by SIGKILL")
    assert ended == Finished(outcome)


def test_a_supervisor_that_hangs_is_ended_too(
    launcher: ProcessLauncher,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "STOP_MARGIN", timedelta(seconds=0.1))
    lock = tmp_path / "lock"
    launcher.launch(spec(programs.holds(lock)))
    programs.until(lambda: programs.is_held(lock))
    os.kill(supervisor_of(root), signal.SIGSTOP)

    launcher.stop(ATTEMPT)

    assert not programs.is_held(lock)
    ended = launcher.status(ATTEMPT)
    assert isinstance(ended, Finished)
    assert ended.outcome.reason is Reason.LOST


def test_an_order_that_is_cut_off_starts_nothing(
    launcher: ProcessLauncher, root: Path, tmp_path: Path
) -> None:
    """The worker may die while it writes the order."""
    what = spec(programs.appends(tmp_path / "lines"))
    launcher.prepare(what)
    order = launcher._order(what, root / ATTEMPT.name).to_json()

    ended = subprocess.run(
        [sys.executable, "-m", process.SUPERVISOR, root / ATTEMPT.name],
        input=order[:-1],
        check=False,
    )

    assert ended.returncode == 65
    assert launcher.status(ATTEMPT) == Absent()
    assert run(launcher, what) == SUCCESS


def test_nothing_starts_in_a_directory_that_is_being_removed(
    launcher: ProcessLauncher, root: Path, tmp_path: Path
) -> None:
    what = spec(programs.appends(tmp_path / "lines"))
    launcher.prepare(what)
    directory = AttemptDir(root / ATTEMPT.name)

    with directory.kept_from_starting() as ours:
        assert ours
        assert launcher._start(what) is Answer.TAKEN

    assert launcher.status(ATTEMPT) == Absent()
    assert not (tmp_path / "lines").exists()


def test_a_lock_that_was_removed_claims_nothing(tmp_path: Path) -> None:
    """A supervisor may have opened the lock just before its removal.

    By the time it locks, the attempt may have been prepared anew.
    """

    class Late(AttemptDir):
        def _open_lock(self) -> int:
            lock = super()._open_lock()
            (self.path / LOCK).rename(self.path / "removed")
            (self.path / LOCK).touch()
            return lock

    assert Late(tmp_path).claim() is None


def test_a_supervisor_looks_for_an_earlier_start_itself(
    launcher: ProcessLauncher, tmp_path: Path
) -> None:
    """The attempt may have come and gone since the launcher looked."""
    file = tmp_path / "lines"
    what = spec(programs.appends(file))
    assert run(launcher, what) == SUCCESS

    assert launcher._start(what) is Answer.STARTED_BEFORE

    assert file.read_text() == "once\n"


def test_a_supervisor_looks_for_later_attempts_itself(
    launcher: ProcessLauncher, tmp_path: Path
) -> None:
    """The later one may have been prepared since the launcher looked."""
    what = spec(programs.appends(tmp_path / "lines"))
    later = replace(ATTEMPT, dispatch=ATTEMPT.dispatch + 9)
    launcher.prepare(what)
    launcher.prepare(replace(what, attempt=later))

    assert launcher._start(what) is Answer.SUPERSEDED

    assert launcher.status(ATTEMPT) == Absent()
    assert not (tmp_path / "lines").exists()


def test_a_supervisor_loads_the_standard_library_alone() -> None:
    """It is started for every attempt, and stays as long as that runs."""
    source = f"""
import sys
before = set(sys.modules)
import {process.SUPERVISOR}
tops = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(tops - sys.stdlib_module_names)
"""
    shown = subprocess.run(
        [sys.executable, "-I", "-c", source],
        capture_output=True,
        check=True,
        text=True,
    )
    assert shown.stdout.strip() == "{'moderate'}"


def test_the_lock_is_seen_without_being_taken(tmp_path: Path) -> None:
    """Else a look at an attempt could keep its supervisor from starting."""
    directory = AttemptDir(tmp_path)
    lock = directory.claim()
    assert lock is not None
    seen = "from moderate.analyses.process_state import *; import sys;"
    seen += "from pathlib import Path;"
    seen += "print(AttemptDir(Path(sys.argv[1])).holder())"

    def holder() -> str:
        return subprocess.run(
            [sys.executable, "-c", seen, tmp_path],
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()

    assert holder() == str(os.getpid())
    fcntl.lockf(lock, fcntl.LOCK_UN)
    assert holder() == "None"
    os.close(lock)
