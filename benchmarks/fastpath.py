"""From a message to an op's first line, stock and with the fast path."""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pika
import psutil
import psycopg
from pika.adapters.blocking_connection import BlockingChannel

from benchmarks.intake import message
from benchmarks.report import Row, percentile
from moderate.local.services.base import Service
from moderate.local.stack import INBOX_DATABASE, Stack

QUEUE = "matrix_profile"
SINGLES = 30
BURST = 60
LONGEST_PAUSE = 3.0
PATIENCE_SECONDS = 420.0
IDLE_SECONDS = 20.0
FIRST_JOB = 1_000_000
UNBOUNDED = {
    "MATRIX_PROFILE_MAX_CONCURRENT": "100",
    "MATRIX_PROFILE_MAX_FAILURES": "1",
    "ANALYSIS_WORK_DIR": os.devnull,
}
"""No message waits for a slot of the inbox, and no analysis is started: its
process would take ten times as long as the way to it."""

BOUND = """SELECT count(*) FROM work_item
 WHERE kind = 'matrix_profile' AND key = ANY(%s)
   AND state NOT IN ('pending', 'dispatched')"""
POLL_SECONDS = 0.5

QUERY = """{ runsOrError(limit: 500) { ... on Runs { results {
  tags { key value } stepStats { startTime }
} } } }"""


@dataclass(frozen=True)
class Found:
    """What one way came to.

    Attributes:
        singles: Seconds from each single message to its op.
        burst: Seconds from the burst to each of its ops.
        idle: Share of a core that what is measured uses with nothing to do.
    """

    singles: Sequence[float]
    burst: Sequence[float]
    idle: float


def measure() -> Sequence[Row]:
    """Send single messages and a burst, with and without the fast path.

    The jobs do not exist at the platform and can't be analysed, so that
    nothing but the way to the op is measured: each run binds its item, fails,
    stores that, and tells the platform.
    """
    stock, fast = measure_way(fast=False), measure_way(fast=True)
    return (
        Row("message → op's first line, stock (p50 / p95)", _two(stock), ""),
        Row(
            "message → op's first line, fast path (p50 / p95)",
            _two(fast),
            "1 s / 2 s",
        ),
        Row(f"burst of {BURST}, last op, stock", _last(stock), ""),
        Row(f"burst of {BURST}, last op, fast path", _last(fast), "20 s"),
        Row("idle: daemon and code server", f"{stock.idle:.1%} of a core", ""),
        Row(
            "idle: intake and worker", f"{fast.idle:.1%} of a core", "under 3%"
        ),
    )


def _two(found: Found) -> str:
    half = statistics.median(found.singles)
    return f"{half:.2f} / {percentile(found.singles, 0.95):.2f} s"


def _last(found: Found) -> str:
    return f"{max(found.burst):.1f} s"


def measure_way(*, fast: bool) -> Found:
    """Measure one of the two ways, on a stack of its own."""
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as folder:
        Path(folder).chmod(0o711)
        root = Path(folder) / "stack"
        with Stack(root, environment=UNBOUNDED, fast=fast) as stack:
            _settle_down(stack)
            parts: tuple[Service, ...] = (stack.daemon, stack.code_server)
            if fast:
                parts = (stack.intake, stack.worker)
            idle = _idle(parts)
            singles = _waits(stack, lambda: _publish_singles(stack))
            burst = _waits(stack, lambda: _publish_burst(stack))
    return Found(singles, burst, idle)


def _settle_down(stack: Stack) -> None:
    """Let the first run of all, which nobody waits for, be over."""
    with _channel(stack) as channel:
        channel.queue_declare(QUEUE, durable=True)
    _waits(stack, lambda: _publish(stack, [FIRST_JOB - 1]))
    time.sleep(5)


def _idle(parts: Sequence[Service]) -> float:
    before = sum(map(_cpu_seconds, parts))
    time.sleep(IDLE_SECONDS)
    return (sum(map(_cpu_seconds, parts)) - before) / IDLE_SECONDS


def _cpu_seconds(part: Service) -> float:
    main = psutil.Process(part.process.pid)
    processes = [main, *main.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def _publish_singles(stack: Stack) -> dict[str, float]:
    chance = random.Random(1)  # reproducible, not secret
    published: dict[str, float] = {}
    for number in range(FIRST_JOB, FIRST_JOB + SINGLES):
        published |= _publish(stack, [number])
        time.sleep(1 + chance.uniform(0, LONGEST_PAUSE))
    return published


def _publish_burst(stack: Stack) -> dict[str, float]:
    first = FIRST_JOB + SINGLES
    return _publish(stack, range(first, first + BURST))


def _publish(stack: Stack, jobs: Sequence[int]) -> dict[str, float]:
    """Publish; return when each job's message left, in epoch seconds."""
    published: dict[str, float] = {}
    with _channel(stack) as channel:
        for number in jobs:
            channel.basic_publish("", QUEUE, message(number))
            published[str(number)] = time.time()
    return published


@contextmanager
def _channel(stack: Stack) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(
        pika.URLParameters(stack.rabbitmq.url)
    )
    try:
        yield connection.channel()
    finally:
        connection.close()


def _waits(
    stack: Stack, publish: Callable[[], Mapping[str, float]]
) -> Sequence[float]:
    """Publish, and return how long each message's op took to begin.

    Raises:
        TimeoutError: Some have not begun when patience ends.
    """
    published = publish()
    _wait_until_bound(stack, [*published])
    begun = _begun(stack)
    return [begun[job] - at for job, at in published.items()]


def _wait_until_bound(stack: Stack, jobs: Sequence[str]) -> None:
    """Wait until each job was bound by a run: that is what an op does first.

    The inbox is asked, as that costs next to nothing; Dagster's times are
    read once, in the end.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(
        stack.postgres.url(INBOX_DATABASE), autocommit=True
    ) as conn:
        while time.monotonic() < deadline:
            (bound,) = conn.execute(BOUND, [jobs]).fetchall()
            if bound == (len(jobs),):
                return
            time.sleep(POLL_SECONDS)
    msg = f"only {bound[0]} of {len(jobs)} have begun"
    raise TimeoutError(msg)


def _begun(stack: Stack) -> dict[str, float]:
    """Return when each job's first op began, in epoch seconds."""
    begun: dict[str, float] = {}
    for run in _runs(stack):
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        job = tags.get("workflow_job_id")
        starts = [s["startTime"] for s in run["stepStats"] if s["startTime"]]
        if job and starts and tags["moderate/dispatch"] == "1":
            begun[job] = min(begun.get(job, starts[0]), *starts)
    return begun


def _runs(stack: Stack) -> Sequence[dict[str, Any]]:
    answer = httpx.post(
        f"{stack.webserver.url}/graphql", json={"query": QUERY}, timeout=60
    ).json()
    found: Sequence[dict[str, Any]]
    found = answer["data"]["runsOrError"]["results"]
    return found
