"""Waits between attempts grow, are capped, and are spread by chance."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.inbox.model import Backoff

SPANS = st.timedeltas(
    min_value=timedelta(milliseconds=1), max_value=timedelta(days=3650)
)
BACKOFFS = st.builds(Backoff, base=SPANS, cap=SPANS)
FAILURES = st.integers(min_value=1, max_value=10**9)
CHANCES = st.floats(min_value=0, max_value=1, exclude_max=True)
MICROSECOND = timedelta(microseconds=1)


def longest(backoff: Backoff, failures: int) -> timedelta:
    return backoff.delay(failures, lambda: 0.0)


@given(BACKOFFS, FAILURES, CHANCES)
def test_a_wait_is_between_half_and_all_of_the_longest_one(
    backoff: Backoff, failures: int, chance: float
) -> None:
    full = longest(backoff, failures)
    wait = backoff.delay(failures, lambda: chance)
    assert full / 2 - MICROSECOND <= wait <= full


@given(BACKOFFS, FAILURES)
def test_no_wait_is_longer_than_the_cap(
    backoff: Backoff, failures: int
) -> None:
    """However many failures there were: nothing overflows."""
    assert timedelta() < longest(backoff, failures) <= backoff.cap


@given(BACKOFFS, st.integers(min_value=1, max_value=100))
def test_waits_never_shrink_and_double_until_the_cap(
    backoff: Backoff, failures: int
) -> None:
    now = longest(backoff, failures)
    then = longest(backoff, failures + 1)
    assert then >= now
    if failures <= 30:
        assert abs(then - min(backoff.cap, 2 * now)) <= 2 * MICROSECOND


def test_the_first_wait_is_the_base() -> None:
    backoff = Backoff(timedelta(seconds=10), timedelta(hours=1))
    waits = [longest(backoff, n).total_seconds() for n in (1, 2, 3, 9, 10)]
    assert waits == [10, 20, 40, 2560, 3600]


def test_a_base_of_days_and_many_failures_do_not_overflow() -> None:
    cap = timedelta(days=30)
    assert longest(Backoff(timedelta(days=1), cap), 10_000) == cap


def test_no_base_is_no_wait() -> None:
    assert Backoff(timedelta()).delay(1_000) == timedelta()


def test_items_that_failed_together_come_back_apart() -> None:
    backoff = Backoff()
    waits = {backoff.delay(5) for _ in range(50)}
    assert len(waits) > 40


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_the_spread_is_by_the_given_chance(chance: float) -> None:
    backoff = Backoff(timedelta(seconds=100), timedelta(hours=1))
    assert backoff.delay(1, lambda: chance) == timedelta(
        seconds=100 * (1 - chance / 2)
    )
