"""Messages leave the broker: first a row in Postgres, then the ack."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from moderate.clients.rabbitmq import Channel, Rabbit
from moderate.flows.matrix_profile.messages import (
    ImageRule,
    Plan,
    Rejected,
    plan,
)
from moderate.inbox.store import Inbox

MAX_BYTES_HELD = 64 * 1024 * 1024
"""Message bodies that one tick holds in memory at the most."""

TICK_IDLE = timedelta(seconds=0.1)
"""A tick takes a queue that gives nothing for so long for empty."""

FOLLOW_WAIT = timedelta(seconds=1)
FOLLOW_IDLE = timedelta(milliseconds=2)
"""Who follows a queue waits for a message, but not for a second one."""


@dataclass(frozen=True)
class Source:
    """Where messages come from, and the bounds of taking them.

    Attributes:
        queue: The platform's queue.
        dead_letter_queue: Ours, for what can't be understood.
        chunk: Messages per transaction.
        limit: Messages per tick.
        rule: Which images a message may ask for.
    """

    queue: str
    dead_letter_queue: str
    chunk: int
    limit: int
    rule: ImageRule


@dataclass(frozen=True)
class Taken:
    """What a tick took from the broker."""

    read: int = 0
    new: int = 0
    rejected: int = 0

    @property
    def known(self) -> int:
        """Messages that were items already."""
        return self.read - self.new

    def plus(self, other: "Taken") -> "Taken":
        """Add two counts."""
        return Taken(
            self.read + other.read,
            self.new + other.new,
            self.rejected + other.rejected,
        )


def take_messages(
    rabbit: Rabbit,
    inbox: Inbox,
    source: Source,
    *,
    in_time: Callable[[], bool],
) -> Taken:
    """Move waiting messages into the inbox, a chunk at a time.

    A chunk that was committed but not acknowledged is delivered again, and
    is then the same rows.

    Raises:
        TemporaryError: The broker or the inbox can't be reached.
    """
    taken = Taken()
    with rabbit.channel() as channel:
        # Declared as the platform does, so that a message posted while
        # nobody had made the queue yet is not dropped.
        channel.declare_durable(source.queue)
        channel.declare_durable(source.dead_letter_queue)
        while taken.read < source.limit and in_time():
            chunk = _take_chunk(channel, inbox, source)
            taken = taken.plus(chunk)
            if not chunk.read:
                break
    return taken


def follow_messages(
    rabbit: Rabbit,
    inbox: Inbox,
    source: Source,
    *,
    is_over: Callable[[], bool],
    news: Callable[[], None],
) -> None:
    """Move messages into the inbox as they come, until told to end.

    As many as a chunk may be unacknowledged: the broker holds the rest.

    Args:
        rabbit: The broker.
        inbox: The inbox.
        source: Where messages come from.
        is_over: Asked every second or so.
        news: Called when there are new items.

    Raises:
        TemporaryError: The broker or the inbox can't be reached.
    """
    with rabbit.channel() as channel:
        channel.declare_durable(source.queue)
        channel.declare_durable(source.dead_letter_queue)
        while not is_over():
            taken = _take_chunk(
                channel, inbox, source, idle=FOLLOW_IDLE, wait=FOLLOW_WAIT
            )
            if taken.new:
                news()


def _take_chunk(
    channel: Channel,
    inbox: Inbox,
    source: Source,
    *,
    idle: timedelta = TICK_IDLE,
    wait: timedelta = timedelta(),
) -> Taken:
    batch = channel.take(
        source.queue,
        limit=source.chunk,
        max_bytes=MAX_BYTES_HELD,
        idle_seconds=idle.total_seconds(),
        wait_seconds=wait.total_seconds(),
    )
    if not batch:
        return Taken()
    planned = plan((each.body for each in batch), source.rule)
    _keep_rejected(channel, source, planned.rejected)
    new = _record(inbox, planned)
    channel.ack(batch)
    return Taken(len(batch), new, len(planned.rejected))


def _keep_rejected(
    channel: Channel, source: Source, rejected: Sequence[Rejected]
) -> None:
    for message in rejected:
        channel.publish_confirmed(
            source.dead_letter_queue,
            message.body,
            headers={
                "x-moderate-reason": message.reason[:500],
                "x-moderate-queue": source.queue,
            },
        )


def _record(inbox: Inbox, planned: Plan) -> int:
    with inbox.transaction() as conn:
        return len(inbox.record(conn, planned.items))


def describe(taken: Taken, seconds: timedelta) -> str:
    """Say in a phrase what was taken, for the tick's log."""
    return (
        f"read {taken.read}, new {taken.new}, known {taken.known},"
        f" rejected {taken.rejected} in {seconds.total_seconds():.3f} s"
    )
