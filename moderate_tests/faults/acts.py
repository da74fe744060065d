"""What tests of faults do again and again."""

import psutil
from pydantic import SecretStr

from moderate.clients.rabbitmq import Rabbit
from moderate.inbox.model import State
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.ways import Way
from moderate_tests.faults import processes
from moderate_tests.faults.workload import Evidence, stand_in

LONG = 300
"""Seconds of work that no test waits for: it is released before."""


def waiting_messages(live: Live) -> int | None:
    """Ask the broker how many messages it still has."""
    rabbit = Rabbit(SecretStr(live.stack.rabbitmq.url))
    with rabbit.channel() as channel:
        return channel.queue_length("matrix_profile")


def kill_takers(live: Live) -> None:
    """Let nobody take messages; also not a tick that has begun."""
    live.stack.daemon.kill()
    if live.way is Way.FAST:
        live.stack.intake.kill()
    live.stack.code_server.restart()


def start_takers(live: Live) -> None:
    """Let messages be taken again."""
    live.stack.daemon.start()
    if live.way is Way.FAST:
        live.stack.intake.start()


def post_long(live: Live, number: int) -> list[int]:
    """Post jobs, and wait until all of them are at work."""
    jobs = [live.post(stand_in(seconds=LONG)) for _ in range(number)]
    live.until(
        lambda: all(Evidence(live.stack.root).of(job) for job in jobs),
        f"{number} analyses are at work",
    )
    return jobs


def release(live: Live) -> None:
    """Let all analyses that are at work come to their end."""
    Evidence(live.stack.root).release()


def analysis_of(live: Live, job: int) -> psutil.Process:
    """Return the one process of a job's analysis."""
    (process,) = processes.analyses_of(live.stack.root, job)
    return process


def assert_done_once(live: Live, job: int) -> None:
    """Hold that a job was computed, and told, exactly once."""
    assert live.state(job) is State.DONE
    assert len(Evidence(live.stack.root).of(job)) == 1
    assert len(live.patches(job)) == 1
