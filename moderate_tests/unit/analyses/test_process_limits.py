"""What a process attempt may use, and what becomes of its output."""

import errno
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from moderate.analyses import process, supervisor
from moderate.analyses.launcher import Finished, Limits
from moderate.analyses.outcomes import Outcome, Reason
from moderate.analyses.process import ProcessLauncher
from moderate_tests.contract.launchers import programs
from moderate_tests.unit.analyses.attempts import (
    LONG,
    MEBIBYTE,
    SUCCESS,
    run,
    supervisor_of,
)
from moderate_tests.unit.analyses.worker import ATTEMPT, spec


def test_memory_of_all_processes_counts_together(
    launcher: ProcessLauncher,
) -> None:
    source = f"""
import subprocess, sys
eat = "import time; x = b'x' * {40 * MEBIBYTE}; time.sleep(600)"
for _ in range(4):
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", eat])
child.wait()
"""
    limits = Limits(memory_bytes=100 * MEBIBYTE)

    ended = run(launcher, replace(spec(source), limits=limits))

    outcome = Outcome(Reason.OUT_OF_MEMORY, detail="limit 100 MiB")
    assert ended == Finished(outcome)


def test_shared_memory_counts_once(launcher: ProcessLauncher) -> None:
    """A pool of forked workers shares what its parent had read."""
    source = f"""
import os, time
x = b"x" * {60 * MEBIBYTE}
for _ in range(4):
    if not os.fork():
        time.sleep(1.5)
        os._exit(0)
for _ in range(4):
    os.wait()
"""
    limits = Limits(memory_bytes=150 * MEBIBYTE)

    assert run(launcher, replace(spec(source), limits=limits)) == SUCCESS


def test_a_flood_of_output_takes_little_disk(root: Path) -> None:
    launcher = ProcessLauncher(root, log_bytes=MEBIBYTE)
    source = """
line = b"x" * 99_999 + b"\\n"
import sys
for _ in range(1000):
    sys.stdout.buffer.write(line)
print("ValueError: the end")
"""
    what = spec(source)

    assert run(launcher, what) == SUCCESS
    files = [p for p in (root / ATTEMPT.name).glob("log.*") if p.is_file()]
    assert sum(path.stat().st_size for path in files) <= MEBIBYTE
    assert launcher.logs(ATTEMPT, 4096).endswith(b"\nValueError: the end\n")


def test_an_analysis_survives_a_disk_that_takes_no_log(
    launcher: ProcessLauncher, root: Path
) -> None:
    what = spec("print('not kept')")
    launcher.prepare(what)
    (root / ATTEMPT.name / "log.0").mkdir()

    assert run(launcher, what) == SUCCESS


def test_what_is_in_the_pipe_when_it_ends_is_kept(
    launcher: ProcessLauncher, root: Path, tmp_path: Path
) -> None:
    """A crash prints a lot at once, and the last line matters most."""
    lock, gate = tmp_path / "lock", tmp_path / "gate"
    source = programs.HOLD.format(path=str(lock))
    source += f"""
import os
print("up", flush=True)
fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 2**20)
while not os.path.exists({str(gate)!r}):
    time.sleep(0.02)
os.write(1, b"x" * 300_000 + b"\\nthe end\\n")
"""
    launcher.launch(spec(source))
    programs.until(lambda: b"up" in launcher.logs(ATTEMPT, 100))
    pid = supervisor_of(root)
    os.kill(pid, signal.SIGSTOP)
    gate.touch()
    programs.until(lambda: not programs.is_held(lock))
    os.kill(pid, signal.SIGCONT)

    assert launcher.wait(ATTEMPT, LONG) == SUCCESS
    log = launcher.logs(ATTEMPT, MEBIBYTE)
    assert len(log) == 300_012
    assert log.endswith(b"\nthe end\n")


def test_a_closed_output_is_no_end(launcher: ProcessLauncher) -> None:
    source = "import os, time; os.close(1); os.close(2); time.sleep(0.5)"

    assert run(launcher, spec(source)) == SUCCESS


def test_the_command_is_kept_to_its_processors(
    launcher: ProcessLauncher,
) -> None:
    source = "import os; print(len(os.sched_getaffinity(0)), os.nice(0))"
    what = replace(spec(source), limits=Limits(cpus=1))
    run(launcher, what)

    niceness = min(19, os.nice(0) + process.DEFAULT_NICENESS)
    assert launcher.logs(ATTEMPT, 100) == f"1 {niceness}\n".encode()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOEXEC, Reason.COULD_NOT_START),
        (errno.EAGAIN, Reason.NO_CAPACITY),
        (errno.ENOMEM, Reason.NO_CAPACITY),
    ],
)
def test_a_machine_without_room_is_told_from_a_bad_command(
    number: int, reason: Reason
) -> None:
    """The one passes, the other doesn't."""
    error = OSError(number, os.strerror(number))

    assert supervisor._not_started(error).reason is reason
