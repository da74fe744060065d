"""Small commands to supervise, and ways to look at what is left of them."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from moderate.local.process import Process

WAIT_SECONDS = 90.0
POLL_SECONDS = 0.02

# Prints its own id and that of a child in a session of its own.
WITH_DAEMON = """
import os, subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"],
    start_new_session=True,
)
print("pids", os.getpid(), child.pid, flush=True)
time.sleep(600)
"""

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


def process_of(source: str, folder: Path, **options: Any) -> Process:
    """A process that runs a Python program and is ready when it has spoken."""
    log = folder / "program.log"

    def has_spoken() -> bool:
        return process.tail() != ""

    settings = {
        "ready": has_spoken,
        "start_timeout": WAIT_SECONDS,
        "grace": 5.0,
        **options,
    }
    process: Process = Process(
        "program",
        [sys.executable, "-I", "-S", "-c", source],
        environment={},
        folder=folder,
        log=log,
        **settings,
    )
    return process


def announced_pids(process: Process) -> list[int]:
    """The process ids that ``WITH_DAEMON`` has printed."""
    (line,) = [line for line in process.tail().splitlines() if "pids" in line]
    return [int(word) for word in line.split()[1:]]


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def await_that(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: It does not hold in time.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    never = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        never.wait(POLL_SECONDS)
