"""The error's kind and the count of failures decide what follows."""

from datetime import timedelta

import pytest

from moderate.errors import PermanentError, SettingsError, TemporaryError
from moderate.inbox.model import (
    FINAL_STATES,
    LONGEST_WAIT,
    Backoff,
    Dead,
    Kind,
    OpenBatch,
    Retry,
    State,
)

KIND = Kind(
    "kind",
    max_failures=3,
    backoff=Backoff(timedelta(seconds=10), timedelta(seconds=60)),
)


@pytest.mark.parametrize(
    "error", [PermanentError("no"), SettingsError("not set")]
)
def test_a_permanent_error_is_the_end_at_once(error: Exception) -> None:
    assert KIND.decide(error, 0) == Dead()


@pytest.mark.parametrize(
    "error", [TemporaryError("later"), RuntimeError("?"), KeyError("x")]
)
def test_other_errors_are_tried_again_until_failures_are_used_up(
    error: Exception,
) -> None:
    """Rule 9: the inbox alone decides, by one count."""
    assert isinstance(KIND.decide(error, 0), Retry)
    assert isinstance(KIND.decide(error, 1), Retry)
    assert KIND.decide(error, 2) == Dead()
    assert KIND.decide(error, 3) == Dead()


def test_one_attempt_may_be_all_there_is() -> None:
    assert Kind("kind", max_failures=1).decide(ValueError(), 0) == Dead()


def test_a_peer_that_asks_for_a_longer_wait_gets_it() -> None:
    """Retry-After is honoured."""
    error = TemporaryError("busy", delay=timedelta(minutes=7))
    assert KIND.decide(error, 0) == Retry(timedelta(minutes=7))


@pytest.mark.parametrize("seconds", [-5, 0, 1])
def test_a_peer_can_not_shorten_the_wait(seconds: float) -> None:
    error = TemporaryError("busy", delay=timedelta(seconds=seconds))
    decision = KIND.decide(error, 1)
    assert isinstance(decision, Retry)
    assert timedelta(seconds=10) <= decision.delay <= timedelta(seconds=20)


def test_a_peer_can_not_put_an_item_off_for_ever() -> None:
    error = TemporaryError("busy", delay=timedelta.max)
    assert KIND.decide(error, 0) == Retry(LONGEST_WAIT)


def test_a_peers_wish_does_not_save_what_has_failed_too_often() -> None:
    error = TemporaryError("busy", delay=timedelta(minutes=7))
    assert KIND.decide(error, 2) == Dead()


def test_waits_grow_with_the_failures() -> None:
    first = KIND.after_failure(0)
    second = KIND.after_failure(1)
    assert isinstance(first, Retry)
    assert isinstance(second, Retry)
    assert timedelta(seconds=5) <= first.delay <= timedelta(seconds=10)
    assert timedelta(seconds=10) <= second.delay <= timedelta(seconds=20)


def test_what_is_final_is_neither_waiting_nor_at_work() -> None:
    assert {State.DONE, State.DEAD, State.CANCELLED} == FINAL_STATES


def test_a_batch_is_bound_when_a_run_has_taken_it() -> None:
    bound = OpenBatch(1, "kind", "running", "kind:1:1", "run")
    unbound = OpenBatch(1, "kind", "dispatched", "kind:1:1", None)
    assert (bound.is_bound, unbound.is_bound) == (True, False)
