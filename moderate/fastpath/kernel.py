"""What Linux offers to processes that must not outlive each other."""

import contextlib
import ctypes
import os
import signal
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""Of ``prctl(2)``: the signal that a process gets when its parent dies."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> None:
    """Have this process killed when its parent ends, however it ends.

    Args:
        parent: The parent's number, as it was when it started this process.

    Raises:
        OSError: Linux refuses.
        SystemExit: The parent has ended already.
    """
    if _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        raise SystemExit(1)


def threads() -> int:
    """Return how many threads this process has, those of C libraries too."""
    return len(list(Path("/proc/self/task").iterdir()))


def sockets() -> int:
    """Return how many sockets this process has open."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # of this very look
            found += str(entry.readlink()).startswith("socket:")
    return found
