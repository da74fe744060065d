"""What the process launcher and a starting supervisor tell each other.

An order goes through a pipe, for it holds secrets; one word comes back.

Only the standard library is imported: the supervisor uses this module too.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self


class Answer(StrEnum):
    """What a supervisor answers to the launcher that started it."""

    STARTED = "started"
    STARTED_BEFORE = "started before"
    TAKEN = "taken"
    SUPERSEDED = "superseded"


@dataclass(frozen=True)
class Order:
    """What to run; times in seconds.

    Attributes:
        command: Program and arguments.
        env: The whole environment of the command, secrets included.
        timeout: How long it may take.
        stop_grace: How long it may take to end when told to.
        log_bytes: The most that its log may take.
        niceness: Added to the niceness of this process.
        memory_bytes: The most memory of all its processes together.
        cpus: The most processors.
    """

    command: list[str]
    env: dict[str, str]
    timeout: float
    stop_grace: float
    log_bytes: int
    niceness: int
    memory_bytes: int | None
    cpus: int | None

    def to_json(self) -> bytes:
        """Return the order as it goes through the pipe."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read an order.

        Raises:
            ValueError: It is cut off, for its writer died.
        """
        return cls(**json.loads(text))
