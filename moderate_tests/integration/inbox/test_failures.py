"""A failed attempt counts once; the error's kind decides what follows."""

from dataclasses import replace
from datetime import timedelta

import pytest

from moderate.errors import PermanentError, TemporaryError
from moderate.inbox import admin
from moderate.inbox.lease import Ended
from moderate.inbox.model import Retry, State
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import (
    JOB,
    KINDS,
    PARCEL,
    change,
    lease_of,
    look,
    make_due,
    words_of,
)


def due_in(inbox: Inbox, key: str, kind: str = JOB) -> float:
    """Ask the server in how many seconds an item is due."""
    rows = change(
        inbox.where,
        "SELECT extract(epoch FROM next_attempt_at - clock_timestamp())"
        " ::float8 AS s FROM work_item WHERE kind = %(kind)s"
        " AND key = %(key)s",
        kind=kind,
        key=key,
    )
    return float(rows[0]["s"])


def fail(inbox: Inbox, error: Exception, run: str) -> Ended | Retry:
    make_due(inbox)
    lease = lease_of(inbox, "1", run=run)
    lease.begin(lease.items)
    return lease.failed(lease.items[0], error, reason=f"in {run}")


def test_a_failure_that_may_pass_is_tried_again_after_the_backoff(
    inbox: Inbox,
) -> None:
    decision = fail(inbox, RuntimeError("?"), "run 1")
    assert isinstance(decision, Retry)
    item = look(inbox, "1")
    assert (item.state, item.failures) == (State.PENDING, 1)
    assert item.last_error == "in run 1"
    assert item.begun_at is None
    seconds = decision.delay.total_seconds()
    assert 50 <= seconds <= 100
    assert seconds - 20 < due_in(inbox, "1") <= seconds
    assert inbox.dispatch([JOB]) == 0
    assert inbox.open_batches([JOB]) == []


def test_a_peer_that_asks_for_a_wait_gets_it(inbox: Inbox) -> None:
    """Retry-After is honoured."""
    fail(inbox, TemporaryError("busy", delay=timedelta(hours=2)), "run 1")
    assert 7000 < due_in(inbox, "1") <= 7200


@pytest.mark.parametrize("delay", [timedelta.max, timedelta(days=10**6)])
def test_an_absurd_wish_does_not_keep_a_failure_from_being_recorded(
    inbox: Inbox, delay: timedelta
) -> None:
    fail(inbox, TemporaryError("busy", delay=delay), "run 1")
    assert look(inbox, "1").state == State.PENDING
    assert due_in(inbox, "1") <= 86_400


def test_failures_that_are_used_up_are_the_end(inbox: Inbox) -> None:
    """The final word is told once, at the last failure."""
    for number in (1, 2):
        fail(inbox, RuntimeError("?"), f"run {number}")
        assert words_of(inbox, look(inbox, "1")) == []
    ended = fail(inbox, TemporaryError("?"), "run 3")
    assert isinstance(ended, Ended)
    item = look(inbox, "1")
    assert (item.state, item.failures) == (State.DEAD, 3)
    (word,) = words_of(inbox, item)
    assert word["error"] == "in run 3"


def test_a_permanent_error_is_the_end_at_once(inbox: Inbox) -> None:
    fail(inbox, PermanentError("no such bucket"), "run 1")
    assert look(inbox, "1").state == State.DEAD
    assert inbox.dispatch([JOB]) == 0


def test_a_retry_by_hand_gives_all_attempts_again(inbox: Inbox) -> None:
    """Rule 2: only the failures start again, never the dispatch number."""
    for number in (1, 2, 3):
        fail(inbox, RuntimeError("?"), f"run {number}")
    with inbox.transaction() as conn:
        admin.retry_item(conn, look(inbox, "1").id, who="me", why="mended")
    item = look(inbox, "1")
    assert (item.failures, item.dispatch) == (0, 3)
    assert isinstance(fail(inbox, RuntimeError("?"), "run 4"), Retry)
    item = look(inbox, "1")
    assert (item.failures, item.dispatch) == (1, 4)


def test_each_item_of_a_batch_has_an_outcome_of_its_own(
    inbox: Inbox,
) -> None:
    """One bad event harms nobody else in its batch."""
    lease = lease_of(inbox, *"123", kind=PARCEL)
    good, bad, later = lease.items
    lease.begin(lease.items)
    lease.failed(bad, PermanentError(), reason="unknown user")
    lease.done(good, {"did": "x"})
    lease.failed(later, TemporaryError("503"), reason="503")
    found = [look(inbox, key, PARCEL) for key in "123"]
    assert [item.state for item in found] == [
        State.DONE,
        State.DEAD,
        State.PENDING,
    ]
    assert [item.failures for item in found] == [0, 1, 1]
    assert inbox.open_batches([PARCEL]) == []


def test_more_attempts_by_setting_apply_to_items_that_exist(
    inbox: Inbox,
) -> None:
    for number in (1, 2):
        fail(inbox, RuntimeError("?"), f"run {number}")
    patient = Inbox(
        inbox.where, [replace(KINDS[0], max_failures=10), *KINDS[1:]]
    )
    assert isinstance(fail(patient, RuntimeError("?"), "run 3"), Retry)
