"""How fast messages become rows, and what a tick costs without any."""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pika
from pydantic import SecretStr

from benchmarks.report import Row, spread
from benchmarks.scratch import scratch
from moderate.clients.rabbitmq import Rabbit
from moderate.flows.matrix_profile.intake import Source, take_messages
from moderate.flows.matrix_profile.kinds import kinds
from moderate.flows.matrix_profile.messages import ImageRule
from moderate.inbox import admin
from moderate.inbox.database import Address
from moderate.inbox.migrate import migrate
from moderate.inbox.store import Inbox
from moderate.local.ports import free_port
from moderate.local.services.postgres import Postgres
from moderate.local.services.rabbitmq import RabbitMQ

QUEUE = "bench"
BACKLOG = 10_000
BURST = 60_000
EMPTY_TICKS = 30


@dataclass(frozen=True)
class Stage:
    """A broker and an inbox of one's own."""

    rabbit: Rabbit
    inbox: Inbox
    url: str

    def publish(self, first: int, count: int) -> None:
        """Publish messages as the platform does: transient."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        for number in range(first, first + count):
            channel.basic_publish("", QUEUE, message(number))
        connection.close()

    def take(self) -> int:
        """Take all that waits, tick after tick; return how many."""
        taken = 0
        while chunk := take_messages(
            self.rabbit, self.inbox, _SOURCE, in_time=lambda: True
        ).read:
            taken += chunk
        return taken

    def rows(self) -> int:
        """Count the rows of the inbox."""
        with self.inbox.transaction() as conn:
            return sum(count.items for count in admin.count_items(conn))


_SOURCE = Source(
    queue=QUEUE,
    dead_letter_queue="bench.dead-letter",
    chunk=500,
    limit=10_000,
    rule=ImageRule("image", "1.0"),
)


def message(number: int) -> bytes:
    """Return a job message as the platform publishes it."""
    return json.dumps(
        {
            "workflow_job_id": number,
            "analysis_variable": "value",
            "bucket": "moderate",
            "key": f"alice-assets/series-{number}.csv",
        }
    ).encode()


@contextmanager
def stage() -> Iterator[Stage]:
    """Start a broker and a Postgres that writes to disk as it should."""
    password = secrets.token_urlsafe()
    with (
        scratch() as folder,
        Postgres(folder / "pg", port=free_port(), password=password) as pg,
        RabbitMQ(
            folder / "mq",
            port=free_port(),
            distribution_port=free_port(),
            mapper_port=free_port(),
            password=password,
        ) as mq,
    ):
        where = Address(pg.url("inbox"))
        migrate(where)
        known = kinds(
            max_concurrent=2,
            max_failures=4,
            backoff_base=timedelta(seconds=10),
        )
        yield Stage(Rabbit(SecretStr(mq.url)), Inbox(where, known), mq.url)


def measure() -> Sequence[Row]:
    """Measure a backlog, a burst and empty ticks."""
    with stage() as here:
        here.publish(1, 1)
        here.take()
        empty = [_timed(here.take)[0] for _ in range(EMPTY_TICKS)]
        here.publish(2, BACKLOG)
        seconds, taken = _timed(here.take)
        here.publish(2 + BACKLOG, BURST)
        burst_seconds, _ = _timed(here.take)
        expected = 1 + BACKLOG + BURST
        lost = expected - here.rows()
    return (
        Row(
            f"message → row, {BACKLOG} waiting",
            f"{taken / seconds:.0f} messages/s",
            "2,000 messages/s",
        ),
        Row(
            f"burst of {BURST}: lost",
            f"{lost} ({BURST / burst_seconds:.0f} messages/s)",
            "0",
            "reference: 19,604 lost",
        ),
        Row(
            "empty tick (the queue's part)",
            spread(empty),
            "0.1 s",
            "reference: 30 s",
        ),
    )


def _timed(work: Callable[[], int]) -> tuple[float, int]:
    begun = time.perf_counter()
    count = work()
    return time.perf_counter() - begun, count
