"""Recovery, memory and delays are what they are called."""

import pytest

from moderate_tests.soak.figures import (
    MIB,
    WARM_UP_SECONDS,
    Memory,
    Struck,
    Success,
    delays,
    recovery,
    trends,
)
from moderate_tests.soak.ledger import Flow

FAULT = Struck("kill worker", begun=10.0, ended=15.0)


def memory_of(*sizes: float, pid: int = 1, begin: float = 0.0) -> list[Memory]:
    """Return samples, one a second, in MiB."""
    return [
        Memory("worker", pid, begin + second, int(size * MIB))
        for second, size in enumerate(sizes)
    ]


def test_recovery_is_the_first_success_after_the_end_of_the_fault() -> None:
    successes = [
        Success(Flow.JOBS, at, delay=1.0) for at in (30.0, 12.0, 18.0)
    ]
    found = recovery(FAULT, successes)
    assert found[Flow.JOBS] == 3.0
    assert found[Flow.USERS] is None


def test_memory_that_grows_is_not_flat() -> None:
    (trend,) = trends(memory_of(*(100 + 0.1 * n for n in range(400))))
    assert trend.slope == pytest.approx(0.1 * MIB, rel=0.01)
    assert not trend.is_flat


def test_memory_that_goes_up_and_down_is_flat() -> None:
    (trend,) = trends(memory_of(*(100 + n % 7 for n in range(400))))
    assert trend.is_flat
    assert trend.ratio == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("at", [100, 200, 300])
def test_memory_that_a_process_takes_once_is_flat(at: int) -> None:
    """As when code is loaded by the first fault, whenever that comes."""
    (trend,) = trends(memory_of(*[100.0] * at, *[150.0] * (400 - at)))
    assert trend.is_flat


def test_memory_that_fills_a_cache_is_flat() -> None:
    sizes = (130 - 30 * 0.98**n for n in range(400))
    (trend,) = trends(memory_of(*sizes))
    assert trend.is_flat


def test_the_process_of_a_part_that_grows_is_the_one_that_is_shown() -> None:
    once = memory_of(*[100.0] * 200, *[300.0] * 200)
    grows = memory_of(*(100 + 0.1 * n for n in range(400)), pid=2, begin=400)
    (trend,) = trends([*once, *grows])
    assert not trend.is_flat


def test_what_a_process_takes_as_it_starts_is_no_growth() -> None:
    start = [10 + n for n in range(int(WARM_UP_SECONDS))]
    (trend,) = trends(memory_of(*start, *[100.0] * 300))
    assert trend.is_flat


def test_a_restart_is_no_growth_and_a_short_life_is_not_judged() -> None:
    first = memory_of(*[100.0] * 300)
    second = memory_of(*[300.0] * 300, pid=2, begin=300)
    (trend,) = trends([*first, *second])
    assert trend.is_flat
    assert trends(memory_of(*[100.0] * 30)) == []


def test_delays_are_those_of_one_flow() -> None:
    successes = [
        *(Success(Flow.JOBS, at=n, delay=n) for n in range(1, 101)),
        Success(Flow.USERS, at=1, delay=1000),
    ]
    found = delays(successes, Flow.JOBS)
    assert found
    assert (found.median, found.high, found.most) == (50.5, 96, 100)
    assert delays(successes, Flow.TABLES) is None
