"""What is asked of the platform API for the items of a kind.

The part of a flow that differs; ``batch`` does the rest.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from moderate.clients.platform_models import Task, TaskStarted
from moderate.flows.platform_tasks.dids import Owners
from moderate.inbox.model import Json, WorkItem

PEER = "platform api"
"""Whose slots are counted; kinds of items name it (``Kind.peer``)."""


@dataclass(frozen=True)
class There:
    """The effect is there already."""

    outcome: Json


@dataclass(frozen=True)
class Gone:
    """What was asked for does not exist any more: nothing is left to do."""

    why: str


class Errand(Protocol):
    """What is asked of the API for the items of one kind."""

    owners: Owners | None
    """Knows the users whose DIDs are needed, where one is."""

    def ask(self, item: WorkItem) -> TaskStarted | There | Gone:
        """Ask the API; must be harmless to repeat."""
        ...

    def outcome(self, task: Task) -> Json:
        """Return what the inbox keeps of a task that succeeded."""
        ...


@dataclass(frozen=True)
class Bounds:
    """How far a batch may go.

    Attributes:
        in_flight: Tasks in flight over all flows and runs.
        timeout: How long a task is waited for.
        limit: After how long the API itself gives a task up.
    """

    in_flight: int
    timeout: timedelta
    limit: timedelta
