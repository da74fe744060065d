"""From a published message to the run's row, with the real daemon."""

import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pika
from pika.adapters.blocking_connection import BlockingChannel

from benchmarks.intake import message
from benchmarks.report import Row, percentile
from moderate.local.stack import Stack

MESSAGES = 60
LONGEST_PAUSE = 4.0
PATIENCE_SECONDS = 180.0
UNBOUNDED = {
    "MATRIX_PROFILE_MAX_CONCURRENT": "100",
    "MATRIX_PROFILE_MAX_FAILURES": "1",
}
"""No message waits for a slot."""

FIRST_JOB = 1_000_000
QUERY = """{ runsOrError(limit: 500) { ... on Runs { results {
  creationTime startTime tags { key value }
} } } }"""


def measure() -> Sequence[Row]:
    """Publish messages at random moments and look when their runs were made.

    The jobs do not exist at the platform, so that nothing but the way to the
    run is measured; the analyses fail at once.
    """
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as folder:
        Path(folder).chmod(0o711)
        root = Path(folder) / "stack"
        with Stack(root, environment=UNBOUNDED) as stack:
            published = _publish(stack)
            created, started = _await_runs(stack, published)
    waits = [created[job] - at for job, at in published.items()]
    starts = [started[job] - at for job, at in published.items()]
    half, most = percentile(starts, 0.5), percentile(starts, 0.95)
    return (
        Row(
            "message → run row created (p50 / p95)",
            f"{percentile(waits, 0.5):.1f} / {percentile(waits, 0.95):.1f} s",
            "p95 within one daemon loop (about 6 s)",
            "stock Dagster looks every 5 s at best",
        ),
        Row(
            "message → run started (p50 / p95)",
            f"{half:.1f} / {most:.1f} s",
            "",
            "stock Dagster: 7 to 11 s to the first op",
        ),
    )


def _publish(stack: Stack) -> dict[str, float]:
    """Publish; return when each job's message left, in epoch seconds."""
    chance = random.Random(1)  # reproducible, not secret
    parameters = pika.URLParameters(stack.rabbitmq.url)
    published: dict[str, float] = {}
    with _channel(parameters) as channel:
        # As the platform does; without a queue the broker drops a message.
        channel.queue_declare("matrix_profile", durable=True)
    for number in range(FIRST_JOB, FIRST_JOB + MESSAGES):
        with _channel(parameters) as channel:
            channel.basic_publish("", "matrix_profile", message(number))
        published[str(number)] = time.time()
        time.sleep(chance.uniform(0, LONGEST_PAUSE))
    return published


@contextmanager
def _channel(parameters: pika.URLParameters) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection.channel()
    finally:
        connection.close()


def _await_runs(
    stack: Stack, published: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return when each job's first run was created, and when it started.

    Raises:
        TimeoutError: Some have no run when patience ends.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        created: dict[str, float] = {}
        started: dict[str, float] = {}
        for run in _runs(stack):
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            job = tags.get("workflow_job_id")
            if job and tags["moderate/dispatch"] == "1":
                created[job] = run["creationTime"]
                if run["startTime"]:
                    started[job] = run["startTime"]
        if published.keys() <= started.keys():
            return created, started
        time.sleep(0.5)
    missing = sorted(published.keys() - started.keys())
    msg = f"not started: {missing}; without a run: "
    msg += str(sorted(published.keys() - created.keys()))
    raise TimeoutError(msg)


def _runs(stack: Stack) -> Sequence[dict[str, Any]]:
    answer = httpx.post(
        f"{stack.webserver.url}/graphql", json={"query": QUERY}, timeout=30
    ).json()
    found: Sequence[dict[str, Any]]
    found = answer["data"]["runsOrError"]["results"]
    return found
