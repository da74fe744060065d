"""The processes of a stack, found by what the kernel shows of them."""

from collections.abc import Collection, Iterator
from pathlib import Path

import psutil

from moderate.analyses.process import SUPERVISOR
from moderate.analyses.process_state import MARKER
from moderate.local import guard
from moderate.local.services.base import Service
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.ways import Way

HELPERS = ("resource_tracker", guard.__file__)
"""What has the same environment and is no run: Python's own helper of
processes that start others, and the stack's of its parts."""


def analyses_of(root: Path, job_id: int) -> list[psutil.Process]:
    """Return the processes of a job's analyses."""
    prefix = f"matrixprofile-{job_id}-"
    return [
        process
        for process, env in _analyses(root)
        if env.get("OUTPUT_KEY", "").startswith(prefix)
    ]


def analyses(root: Path) -> list[psutil.Process]:
    """Return the processes of all analyses."""
    return [process for process, _ in _analyses(root)]


def supervisors(root: Path) -> list[psutil.Process]:
    """Return the supervisors of analyses."""
    folder = f"{root}/"
    return [
        process
        for process in psutil.process_iter()
        if SUPERVISOR in (line := _command(process))
        and any(each.startswith(folder) for each in line)
    ]


def runs(root: Path, standing: Collection[int]) -> list[psutil.Process]:
    """Return the processes of runs, whoever is their parent by now.

    Args:
        root: The stack's folder.
        standing: What has the same environment and is no run.
    """
    work_dir = str(root / "analyses")
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in standing
        and _environment(process).get("ANALYSIS_WORK_DIR") == work_dir
        and not any(each in _command_line(process) for each in HELPERS)
    ]


def standing(live: Live) -> set[int]:
    """Return the service's own processes that look like runs."""
    stack = live.stack
    parts: list[Service] = [stack.code_server]
    if live.way is Way.FAST:
        parts += [stack.intake, stack.worker]
    pids = {part.process.pid for part in parts if part.running}
    return {pid for pid in pids if pid} | {
        process.pid for process in templates(live)
    }


def templates(live: Live) -> list[psutil.Process]:
    """Return what the worker's runs are copied from, if there is any."""
    if live.way is not Way.FAST or not live.stack.worker.running:
        return []
    try:
        return psutil.Process(live.stack.worker.process.pid).children()
    except psutil.NoSuchProcess:
        return []  # It has just ended.


def _analyses(
    root: Path,
) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    folder = f"{root}/"
    for process in psutil.process_iter():
        env = _environment(process)
        if MARKER in env and env.get("HOME", "").startswith(folder):
            yield process, env


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}  # It has just ended, or is somebody else's.


def _command_line(process: psutil.Process) -> str:
    return " ".join(_command(process))


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
