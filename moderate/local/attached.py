"""Keeps a container for as long as this process lives.

``python -m moderate.local.attached SERVICE COMPOSE...``, where COMPOSE is the
command of Compose with its project. Under a guard, like every other command
of a stack: whatever ends the supervisor, the guard tells this process to end,
and the container is stopped. It ends by itself when the container does.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

FAILED = 1


def keep(service: str, compose: Sequence[str]) -> int:
    """Start a container, show its log until its end, and stop it.

    Returns:
        The exit code; it is never a success that a service has ended.
    """
    signal.signal(signal.SIGTERM, _end)
    up = ("up", "--detach", "--no-deps", service)
    follow = ("logs", "--follow", "--no-log-prefix", service)
    try:
        if subprocess.run([*compose, *up], check=False).returncode == 0:
            subprocess.run([*compose, *follow], check=False)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.run([*compose, "stop", service], check=False)
    return FAILED


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1], sys.argv[2:]))
