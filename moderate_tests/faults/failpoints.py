"""Boundaries at which a process kills itself or hangs, once, when told to.

A test arms a failpoint by writing a file; whichever process of the service
reaches the boundary first takes the file away, which only one can, and does
what it says. Unarmed, a failpoint does nothing.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

FOLDER = "MODERATE_FAILPOINTS"
"""Environment variable: the folder of the files."""

BEFORE_COMMIT = "before-commit"
"""The tick has inserted rows, and not committed."""
BEFORE_ACK = "before-ack"
"""The rows are committed; the broker does not know."""
BEFORE_DISPATCH = "before-dispatch"
"""The broker has forgotten the messages; nothing is dispatched."""
BEFORE_REQUEST = "before-request"
"""Items are dispatched; the daemon does not know of the runs."""
IN_TICK = "in-tick"
"""The tick has just begun."""
BEFORE_BIND = "before-bind"
"""The run has begun, and not bound its batch."""
AFTER_BIND = "after-bind"
"""The batch is the run's; nothing is launched."""
AFTER_LAUNCH = "after-launch"
"""The analysis has just been launched."""
BEFORE_DONE = "before-done"
"""The report lies in S3; the inbox does not know."""
AFTER_DONE = "after-done"
"""The outcome and its final word are stored; the platform does not know."""
AFTER_TELL = "after-tell"
"""The platform was told; the inbox does not know."""

IN_TICKS = (BEFORE_COMMIT, BEFORE_ACK, BEFORE_DISPATCH, BEFORE_REQUEST)
"""Where the code server dies."""
IN_RUNS = (
    BEFORE_BIND,
    AFTER_BIND,
    AFTER_LAUNCH,
    BEFORE_DONE,
    AFTER_DONE,
    AFTER_TELL,
)
"""Where a run dies."""

USERS_READ = "users-read"
"""A page of users was read; none of them is an item."""
CURSOR_MOVED = "cursor-moved"
"""Users or objects are items; that, and the cursor, is not committed."""
TRUST_REQUEST = "trust-request"
"""Users or objects are dispatched; the daemon does not know of the runs."""
AFTER_ASK = "after-ask"
"""The platform makes a DID or proof; nobody knows the task's number."""
BEFORE_RECORD = "before-record"
"""There is a DID or proof; the inbox does not know."""

IN_TRUST_TICKS = (USERS_READ, CURSOR_MOVED, TRUST_REQUEST)
"""Where the code server dies, as it looks for users and objects."""
IN_TRUST_RUNS = (BEFORE_BIND, AFTER_BIND, AFTER_ASK, BEFORE_RECORD)
"""Where a run of users or objects dies."""

HANG_SECONDS = 240
"""After which one that hangs goes on by itself."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Failpoints:
    """The failpoints of a stack, from the test's side.

    Attributes:
        folder: Where processes look.
    """

    folder: Path

    def arm(self, name: str, *, hang: bool = False) -> None:
        """Let the next one there kill itself, or hang until let go."""
        self.folder.mkdir(exist_ok=True)
        draft = self.folder / f".{name}"
        draft.write_text(json.dumps({"hang": hang}))
        draft.rename(self.folder / name)

    def let_go(self, name: str) -> None:
        """Let whoever hangs there go on."""
        for path in self.folder.glob(f".{name}.*"):
            path.unlink()

    def is_armed(self, name: str) -> bool:
        """Whether nobody has been there since."""
        return (self.folder / name).exists()

    def is_hanging(self, name: str) -> bool:
        """Whether somebody who was there has not gone on yet."""
        return any(self.folder.glob(f".{name}.*"))

    def take_back(self, name: str) -> bool:
        """Disarm one; return whether somebody was there before."""
        try:
            (self.folder / name).unlink()
        except FileNotFoundError:
            return True
        return False

    def disarm(self) -> None:
        """Forget all that are armed."""
        if self.folder.exists():
            for path in self.folder.iterdir():
                path.unlink()


def reach(name: str) -> None:
    """Be at a failpoint: do what it is armed for."""
    path = Path(os.environ[FOLDER]) / name
    mine = path.with_name(f".{name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        path.rename(mine)
    except FileNotFoundError:
        return
    if json.loads(mine.read_text())["hang"]:
        _hang(mine)
    else:
        mine.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _hang(mine: Path) -> None:
    """Do nothing until a test takes the file away."""
    end = time.monotonic() + HANG_SECONDS
    while mine.exists() and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    mine.unlink(missing_ok=True)


def reach_before(
    owner: Any,
    function: str,
    name: str,
    when: Callable[..., bool] = lambda *_: True,
) -> None:
    """Put a failpoint before a function of a module or class.

    Args:
        owner: The module or class.
        function: The function's name.
        name: The failpoint.
        when: Whether it is reached, by the function's arguments.
    """
    original = getattr(owner, function)

    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if when(*args):
            reach(name)
        return original(*args, **kwargs)

    setattr(owner, function, wrapped)


def reach_after(
    owner: Any,
    function: str,
    name: str,
    when: Callable[..., bool] = lambda *_: True,
) -> None:
    """Put a failpoint behind a function; see ``reach_before``."""
    original = getattr(owner, function)

    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if when(*args):
            reach(name)
        return result

    setattr(owner, function, wrapped)
