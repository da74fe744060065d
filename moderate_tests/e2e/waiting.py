"""Waiting for conditions: no test of a live service sleeps for luck."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_SECONDS = 0.2

Found = TypeVar("Found")


class WaitTimeoutError(AssertionError):
    """What was awaited did not come about in time."""


def wait_until(
    condition: Callable[[], Found | None],
    what: str,
    *,
    within: float,
    explain: Callable[[], str] = lambda: "",
) -> Found:
    """Return what ``condition`` returns, as soon as that is truthy.

    Args:
        condition: Looked at again and again.
        what: What is awaited, in words.
        within: Seconds until this gives up.
        explain: Tells the state of affairs, for the error.

    Raises:
        WaitTimeoutError: It took too long; tells the state of affairs.
    """
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            msg = f"not within {within:g} s: {what}\n{explain()}"
            raise WaitTimeoutError(msg)
        time.sleep(POLL_SECONDS)
