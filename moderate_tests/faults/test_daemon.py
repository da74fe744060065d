"""The daemon is killed, is there twice, or gives up on a tick."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from moderate.inbox.model import State
from moderate.local.services.dagster import Daemon
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import LIVE
from moderate_tests.e2e.ways import only_stock
from moderate_tests.faults import failpoints as at
from moderate_tests.faults.acts import assert_done_once
from moderate_tests.faults.failpoints import Failpoints
from moderate_tests.faults.nothing_lost import assert_nothing_lost
from moderate_tests.faults.workload import stand_in

pytestmark = LIVE

TICK_DEADLINE = 6
"""Seconds; Dagster's own is 60."""


@contextmanager
def another_daemon(live: Live, **environment: str) -> Iterator[Daemon]:
    """Start one more daemon on the same instance."""
    stack = live.stack
    folder = stack.root / "another-daemon"
    daemon = Daemon(
        folder,
        webserver=stack.webserver,
        code_server=stack.code_server,
        home=stack.root / "dagster",
        environment={
            "PATH": os.environ["PATH"],
            **stack.postgres.client_environment(),
            **environment,
        },
        log=folder / "another-daemon.log",
    )
    with daemon:
        yield daemon


@only_stock
def test_a_killed_daemon_leaves_what_was_asked_for_to_the_next(
    live: Live,
) -> None:
    job = live.post(stand_in())
    live.until(
        lambda: live.state(job) is State.DISPATCHED, "a run is asked for"
    )
    live.stack.daemon.kill()
    live.stack.daemon.start()
    assert_nothing_lost(live, [job])
    assert_done_once(live, job)


def test_two_daemons_do_everything_once(live: Live) -> None:
    with another_daemon(live):
        jobs = [live.post(stand_in()) for _ in range(4)]
        assert_nothing_lost(live, jobs)
    for job in jobs:
        assert_done_once(live, job)


@only_stock
def test_a_tick_that_hangs_past_its_deadline_overlaps_the_next_and_is_harmless(
    live: Live, failpoints: Failpoints
) -> None:
    """It hangs with rows committed, and messages not acknowledged."""
    live.stack.daemon.stop()
    deadline = {"DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": str(TICK_DEADLINE)}
    with another_daemon(live, **deadline):
        failpoints.arm(at.BEFORE_ACK, hang=True)
        job = live.post(stand_in())
        live.until(
            lambda: failpoints.is_hanging(at.BEFORE_ACK), "a tick hangs"
        )
        late = live.post(stand_in())
        live.until(lambda: live.item(late), "the next tick takes messages")
        assert failpoints.is_hanging(at.BEFORE_ACK)
        failpoints.let_go(at.BEFORE_ACK)
        assert_nothing_lost(live, [job, late])
    live.stack.daemon.start()
    for each in (job, late):
        assert_done_once(live, each)
