"""A command that does its work and ends, such as a build or a download."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGTERM

from moderate.local.guarded import Guarded
from moderate.local.process import (
    PartError,
    describe_exit,
    open_log,
    read_tail,
)

POLL_SECONDS = 0.1
SAY_EVERY_SECONDS = 15.0
GRACE_SECONDS = 5.0


def run_to_end(
    part: str,
    what: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    timeout: float,
    say: Callable[[str], None] = lambda _: None,
    cancelled: threading.Event | None = None,
) -> None:
    """Run a command under a guard and wait for its end.

    Args:
        part: The part of the stack that needs it.
        what: What it does, in words such as ``fetching Keycloak``.
        command: The program and its arguments.
        environment: Its whole environment.
        folder: Its working folder.
        log: What its output is appended to.
        timeout: Seconds that it may take.
        say: Takes a line of progress now and then.
        cancelled: Once set, the command is stopped.

    Raises:
        PartError: It failed, took too long or was cancelled.
    """
    start = open_log(log, what)
    begun = time.monotonic()
    said = begun
    guarded = Guarded(
        command,
        environment=environment,
        folder=folder,
        log=log,
        stop_signal=SIGTERM,
        grace=GRACE_SECONDS,
    )
    try:
        while not guarded.wait(POLL_SECONDS):
            now = time.monotonic()
            if cancelled is not None and cancelled.is_set():
                raise PartError(part, f"was cancelled while {what}")
            if now - begun > timeout:
                reason = f"{what} took more than {timeout:.0f} s"
                raise PartError(part, reason, log, read_tail(log, start))
            if now - said > SAY_EVERY_SECONDS:
                say(f"{what}, {now - begun:.0f} s so far")
                said = now
    finally:
        if guarded.anything_left:
            guarded.stop()
    if guarded.exit_code != 0:
        ending = describe_exit(guarded.exit_code)
        reason = f"{what} ended with {ending}"
        raise PartError(part, reason, log, read_tail(log, start))
