"""Programs that the cases run, as Python source, and what they leave.

A program shows that it lives by holding a lock on a file of the evidence
folder: the kernel frees it with the last of its processes, so a test needs no
process numbers.
"""

import fcntl
import time
from collections.abc import Callable
from pathlib import Path

WITHIN_SECONDS = 120
LOOK_SECONDS = 0.02

HOLD = """
import fcntl, os, signal, subprocess, sys, time
lock = open({path!r}, "w")
fcntl.flock(lock, fcntl.LOCK_EX)
"""

NEVER_END = """
print("up", flush=True)
while True:
    time.sleep(600)
"""

IGNORE_TERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"

ESCAPED_CHILD = """
# Another session, no environment, deaf to SIGTERM: hard to find or to end.
subprocess.Popen(
    [sys.executable, "-I", "-S", "-c", {child!r}],
    start_new_session=True, env={{}}, stdout=subprocess.PIPE,
).stdout.readline()
"""

ENDS_ON_TERM = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"

EAT_MEMORY = """
import time
pieces = []
while True:
    pieces.append(bytearray(b"x" * 2**22))
    time.sleep(0.002)
"""


def holds(path: Path, *extra: str) -> str:
    """A program that holds a lock for ever."""
    return "".join((HOLD.format(path=str(path)), *extra, NEVER_END))


def has_escaped_child(path: Path) -> str:
    """Source for a child that outlives whoever only kills the group."""
    return ESCAPED_CHILD.format(child=holds(path, IGNORE_TERM))


def exits(code: int, last_line: str = "") -> str:
    """A program that says something and exits."""
    return f"""
import sys
print("working", flush=True)
print({last_line!r}, file=sys.stderr, flush=True)
sys.exit({code})
"""


def appends(path: Path) -> str:
    """A program that leaves one more line in a file, and takes a moment."""
    return f"""
import time
with open({str(path)!r}, "a") as file:
    file.write("once\\n")
time.sleep(0.3)
"""


def is_held(path: Path) -> bool:
    """Whether a program that holds the lock lives."""
    try:
        file = path.open("r+")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(LOOK_SECONDS)
