"""One item at work."""

import time
from dataclasses import dataclass

from moderate.flows.platform_tasks.meanings import NeedsDid
from moderate.inbox.model import WorkItem

FIRST_WAIT = 0.25
LONGEST_WAIT = 5.0
GROWTH = 1.5
"""Seconds between two looks at a task, and their growth."""


@dataclass(eq=False)
class Trip:
    """The way of one item: it is asked for, then its task is polled.

    Times are those of ``time.monotonic``.

    Attributes:
        item: The item.
        slot: What it holds of the peer's bound.
        begun: When it was begun.
        due: When its next call is to be made.
        task_id: The API's task, once there is one.
        posted: When that was made.
        missing: Whose DID it lacks, while it is asked why.
    """

    item: WorkItem
    slot: int
    begun: float
    due: float
    task_id: int | None = None
    posted: float = 0.0
    missing: NeedsDid | None = None
    _wait: float = FIRST_WAIT

    @property
    def seconds(self) -> float:
        """How long it has been at work."""
        return time.monotonic() - self.begun

    def has_task(self, task_id: int) -> None:
        """Note the API's task, to be looked at soon."""
        self.task_id = task_id
        self.posted = time.monotonic()
        self.due = self.posted + self._wait

    def look_later(self) -> None:
        """Look at the task again, later than the last time."""
        self._wait = min(self._wait * GROWTH, LONGEST_WAIT)
        self.due = time.monotonic() + self._wait
