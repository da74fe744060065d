"""The processes of runs, as the kernel shows them."""

import contextlib

import psutil

from moderate.local.stack import Stack

SPAWNED = "multiprocessing.spawn"
"""In the command of the process that Dagster's code server has for a run."""


def of(stack: Stack) -> list[psutil.Process]:
    """Return the processes of runs: of the worker, and of Dagster."""
    worker, code_server = stack.worker, stack.code_server
    found: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        if worker.running:
            for template in psutil.Process(worker.process.pid).children():
                found += template.children()
    with contextlib.suppress(psutil.NoSuchProcess):
        if code_server.running:
            server = psutil.Process(code_server.process.pid)
            found += [p for p in server.children() if SPAWNED in _line(p)]
    return found


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""  # It has just ended.
