"""Do something as soon as a condition holds, beside a run in the main thread.

A run waits in the main thread, where interrupts arrive; so what a test does
meanwhile is done by a thread.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It did not within ``PATIENCE_SECONDS``.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(POLL_SECONDS)


@contextmanager
def meanwhile(
    condition: Callable[[], object], act: Callable[[], object]
) -> Iterator[None]:
    """Act once during the block, as soon as the condition holds."""
    errors: list[Exception] = []

    def watch() -> None:
        try:
            wait_until(condition)
            act()
        except Exception as error:  # noqa: BLE001  # raised in the test below
            errors.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if errors:
        raise errors[0]
