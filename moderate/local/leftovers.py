"""Finds and ends processes of ours that an earlier crash left running.

A guard ends its command when the supervisor ends, however it ends. Only when
supervisor and guards were all killed at once can something be left. Such a
process carries our mark and our folder in its environment; nothing else is
ever touched.
"""

import contextlib
import time
from pathlib import Path

import psutil

from moderate.local.services.base import MARKER

# Guards of a supervisor that has just died need a moment to do their work.
PATIENCE_SECONDS = 15.0
POLL_SECONDS = 0.1


def end_leftovers(root: Path, patience: float = PATIENCE_SECONDS) -> int:
    """End all processes of the stack in ``root``; there must be no live one.

    Args:
        root: The stack's folder.
        patience: Seconds that its guards get to end them by themselves.

    Returns:
        How many had to be killed.
    """
    deadline = time.monotonic() + patience
    while (found := marked_processes(root)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for process in found:
        # It compares the start time first: a reused id is not ours.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(found, timeout=PATIENCE_SECONDS)
    return len(found)


def marked_processes(root: Path) -> list[psutil.Process]:
    """All processes that carry the mark of a part below ``root``."""
    prefix = f"{root.absolute()}/"
    return [
        process
        for process in psutil.process_iter()
        if _marked_folder(process).startswith(prefix)
    ]


def _marked_folder(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARKER, "")
    except psutil.Error:
        return ""
