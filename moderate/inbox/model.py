"""What the inbox holds, and how it decides: pure values, no database."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from moderate.errors import PermanentError, TemporaryError

Json = Mapping[str, Any]


class State(StrEnum):
    """Where a work item is in its life.

    The names are those of the diagram in ``docs/architecture.md`` and of the
    database's check.
    """

    PENDING = "pending"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


FINAL_STATES = frozenset({State.DONE, State.DEAD, State.CANCELLED})


@dataclass(frozen=True)
class NewItem:
    """An event that is about to become a work item.

    Attributes:
        kind: Name of its kind.
        key: Idempotency key, unique within the kind.
        payload: What the handler needs to know; no secrets.
        state: ``PENDING``, ``DEAD`` for what can never be done, or ``DONE``
            for what was done before there was an inbox.
        error: Why it is dead.
        outcome: What is known of its end, where it is born ended.
    """

    kind: str
    key: str
    payload: Json = field(default_factory=dict)
    state: State = State.PENDING
    error: str | None = None
    outcome: Json | None = None


@dataclass(frozen=True)
class WorkItem:
    """A row of the inbox, as it was when it was read."""

    id: int
    kind: str
    key: str
    payload: Json
    state: State
    dispatch: int
    failures: int
    next_attempt_at: datetime
    alone: bool
    waits_for: int | None
    batch_id: int | None
    run_id: str | None
    begun_at: datetime | None
    last_error: str | None
    outcome: Json | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    dropped_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", State(self.state))


@dataclass(frozen=True)
class Dispatch:
    """A batch that waits for its run: what a run request says of it.

    Attributes:
        id: The batch.
        kind: The kind of its items.
        run_key: Idempotency key of the run; never used twice.
        size: How many items it holds.
        item_id: The first item.
        item_key: The first item's key.
        dispatch: The first item's dispatch number.
        flow: Name of the flow that the kind belongs to.
    """

    id: int
    kind: str
    run_key: str
    size: int
    item_id: int
    item_key: str
    dispatch: int
    flow: str = ""


@dataclass(frozen=True)
class OpenBatch:
    """A batch that holds items, bound to a run or not yet."""

    id: int
    kind: str
    state: str
    run_key: str
    run_id: str | None

    @property
    def is_bound(self) -> bool:
        """Say whether a run has bound it."""
        return self.state == "running"


MAX_DOUBLINGS = 64
"""Of a backoff; any base above a nanosecond has met its cap by then."""

LONGEST_WAIT = timedelta(days=1)
"""The longest wait that a peer is given; one asked for years, or for more
than a timestamp holds, must not put an item off for ever."""


@dataclass(frozen=True)
class Backoff:
    """Waits between attempts: doubling, capped, with jitter.

    The jitter takes up to half of the wait, so that items that failed
    together don't come back together.
    """

    base: timedelta = timedelta(seconds=10)
    cap: timedelta = timedelta(hours=1)

    def delay(
        self,
        failures: int,
        chance: Callable[[], float] = random.random,
    ) -> timedelta:
        """Return the wait after the ``failures``-th failure (1 or more)."""
        # As numbers, since a timedelta overflows where the cap still holds.
        doubled = self.base.total_seconds() * 2.0 ** min(
            failures - 1, MAX_DOUBLINGS
        )
        full = min(self.cap.total_seconds(), doubled)
        return timedelta(seconds=full * (1 - chance() / 2))


@dataclass(frozen=True)
class Retry:
    """The decision to try again after ``delay``."""

    delay: timedelta


@dataclass(frozen=True)
class Dead:
    """The decision to give up."""


FinalWord = Callable[[WorkItem], NewItem | None]


@dataclass(frozen=True)
class Kind:
    """How items of one kind are treated.

    Attributes:
        name: The kind.
        flow: Name of the flow that it belongs to.
        batch_size: Items that travel in one run at the most.
        slots: Runs of this kind that may be open at once.
        max_failures: Counted failures after which an item is dead.
        backoff: Waits between attempts.
        final_word: Makes, of an item that has just ended, the item that
            tells the outside world; stored in the same transaction.
        cancellable: Whether cancelling a run cancels its items; otherwise
            they are released and tried again.
        peer: Name of the peer whose slots its runs share, if any.
    """

    name: str
    flow: str = ""
    batch_size: int = 1
    slots: int = 1
    max_failures: int = 5
    backoff: Backoff = Backoff()
    final_word: FinalWord | None = None
    cancellable: bool = False
    peer: str | None = None

    def decide(self, error: Exception, failures: int) -> Retry | Dead:
        """Decide what follows a failed attempt.

        Args:
            error: What was raised; its kind is what counts.
            failures: Failures before this one.
        """
        if isinstance(error, PermanentError):
            return Dead()
        return self.after_failure(
            failures,
            error.delay if isinstance(error, TemporaryError) else None,
        )

    def after_failure(
        self, failures: int, asked: timedelta | None = None
    ) -> Retry | Dead:
        """Decide after a failure that may pass; a peer may ask for a wait."""
        if failures + 1 >= self.max_failures:
            return Dead()
        delay = self.backoff.delay(failures + 1)
        return Retry(max(delay, min(asked or delay, LONGEST_WAIT)))
