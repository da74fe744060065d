"""The processes of a stack, found by what the kernel shows of them."""

from collections.abc import Iterator
from pathlib import Path

import psutil

from moderate.analyses.process import SUPERVISOR
from moderate.analyses.process_state import MARKER
from moderate.local import guard

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


def runs(root: Path, code_server: int | None) -> list[psutil.Process]:
    """Return the processes of runs, whoever is their parent by now.

    Args:
        root: The stack's folder.
        code_server: The number of its live code server, if there is one.
    """
    work_dir = str(root / "analyses")
    return [
        process
        for process in psutil.process_iter()
        if process.pid != code_server
        and _environment(process).get("ANALYSIS_WORK_DIR") == work_dir
        and not any(each in _command_line(process) for each in HELPERS)
    ]


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
