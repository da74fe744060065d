"""The code server is killed, at each boundary of a tick."""

from collections.abc import Callable

import pytest

from moderate.inbox.model import State
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import LIVE
from moderate_tests.e2e.ways import only_stock
from moderate_tests.faults import failpoints as at
from moderate_tests.faults.acts import waiting_messages
from moderate_tests.faults.failpoints import Failpoints
from moderate_tests.faults.nothing_lost import assert_nothing_lost
from moderate_tests.faults.workload import stand_in

pytestmark = LIVE


def only_the_broker_has_it(live: Live, job: int) -> bool:
    return live.state(job) is None and waiting_messages(live) == 1


def both_have_it(live: Live, job: int) -> bool:
    return live.state(job) is State.PENDING and waiting_messages(live) == 1


def only_the_inbox_has_it(live: Live, job: int) -> bool:
    return live.state(job) is State.PENDING and waiting_messages(live) == 0


def it_waits_for_a_run(live: Live, job: int) -> bool:
    return live.state(job) is State.DISPATCHED and not live.ui.runs_of(job)


@only_stock
@pytest.mark.parametrize(
    ("boundary", "where_it_is"),
    [
        (at.BEFORE_COMMIT, only_the_broker_has_it),
        (at.BEFORE_ACK, both_have_it),
        pytest.param(
            at.BEFORE_DISPATCH, only_the_inbox_has_it, marks=pytest.mark.full
        ),
        (at.BEFORE_REQUEST, it_waits_for_a_run),
    ],
)
def test_a_tick_that_is_killed_at_a_boundary_loses_nothing(
    live: Live,
    failpoints: Failpoints,
    boundary: str,
    where_it_is: Callable[[Live, int], bool],
) -> None:
    failpoints.arm(boundary)
    job = live.post(stand_in())
    live.until(
        lambda: not live.stack.code_server.running,
        f"the code server kills itself {boundary}",
    )
    live.until(lambda: where_it_is(live, job), where_it_is.__name__)
    live.stack.code_server.start()
    assert_nothing_lost(live, [job])
    assert live.state(job) is State.DONE
