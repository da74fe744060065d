"""An item may wait for another one: no wake-up is lost, nobody waits in vain.

The link is by kind and key, so that no flow needs to import another.
"""

from collections.abc import Callable
from functools import partial

import pytest

from moderate.errors import PermanentError
from moderate.inbox import admin
from moderate.inbox.database import InboxUnavailableError
from moderate.inbox.lease import Ended, Lease
from moderate.inbox.model import NewItem, State
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import (
    JOB,
    PARCEL,
    SILENCE,
    batch_of,
    fall_silent,
    free,
    lease_of,
    look,
    make_due,
    race,
    record,
    states,
    words_of,
)


def take(inbox: Inbox, key: str, kind: str = JOB) -> Lease:
    """Record an item and bind it to a run of its own."""
    record(inbox, key, kind=kind)
    lease = inbox.take_now(kind, key, f"run of {kind} {key}")
    assert lease is not None
    return lease


def park(
    inbox: Inbox, key: str, target: str, kind: str = PARCEL
) -> Ended | None:
    lease = take(inbox, key)
    return lease.wait_for(lease.items[0], kind, target, f"needs {target}")


def finish(lease: Lease, end: str) -> None:
    (item,) = lease.items
    if end == "done":
        lease.done(item, {})
    elif end == "cancelled":
        lease.cancelled(item, {})
    else:
        lease.failed(item, PermanentError(), reason="no such user")


def test_a_waiting_item_is_not_dispatched_and_holds_no_slot(
    inbox: Inbox,
) -> None:
    record(inbox, "target", kind=PARCEL)
    assert park(inbox, "1", "target") is None
    item = look(inbox, "1")
    assert (item.state, item.failures) == (State.PENDING, 0)
    assert item.waits_for == look(inbox, "target", PARCEL).id
    assert item.last_error == "needs target"
    make_due(inbox)
    assert inbox.dispatch([JOB]) == 0
    assert inbox.open_batches([JOB]) == []
    assert inbox.take_now(JOB, "1", "run") is None


def test_the_others_of_the_batch_go_on_when_one_waits(inbox: Inbox) -> None:
    record(inbox, "target", kind=JOB)
    lease = lease_of(inbox, *"12", kind=PARCEL)
    lease.wait_for(lease.items[0], JOB, "target", "why")
    lease.done(lease.items[1], {})
    assert states(inbox, *"12", kind=PARCEL) == [State.PENDING, State.DONE]
    assert inbox.open_batches([PARCEL]) == []


def test_a_waiting_item_is_due_as_soon_as_the_other_one_is_done(
    inbox: Inbox,
) -> None:
    target = take(inbox, "target", PARCEL)
    for key in "123":
        park(inbox, key, "target")
    target.done(target.items[0], {})
    assert [look(inbox, key).waits_for for key in "123"] == [None] * 3
    assert inbox.dispatch([JOB]) == 2
    assert look(inbox, "1").failures == 0


def test_nobody_waits_for_what_is_done_already(inbox: Inbox) -> None:
    target = take(inbox, "target", PARCEL)
    target.done(target.items[0], {})
    assert park(inbox, "1", "target") is None
    assert look(inbox, "1").waits_for is None
    assert inbox.dispatch([JOB]) == 1


@pytest.mark.parametrize("end", ["dead", "cancelled"])
def test_nobody_waits_for_what_will_never_be_done(
    inbox: Inbox, end: str
) -> None:
    finish(take(inbox, "target", PARCEL), end)
    ended = park(inbox, "1", "target")
    assert ended is not None
    assert ended.item.state == State.DEAD
    assert ended.item.last_error is not None
    assert f"needs target: parcel target is {end}" in ended.item.last_error
    assert len(words_of(inbox, ended.item)) == 1
    assert inbox.open_batches([JOB]) == []


@pytest.mark.parametrize("end", ["dead", "cancelled"])
def test_a_waiting_item_is_dead_and_told_when_the_other_one_ends_badly(
    inbox: Inbox, end: str
) -> None:
    """Rule 7: the waiter's final word is in the same transaction."""
    target = take(inbox, "target", PARCEL)
    park(inbox, "1", "target")
    park(inbox, "2", "target")
    finish(target, end)
    for key in "12":
        item = look(inbox, key)
        assert (item.state, item.waits_for) == (State.DEAD, None)
        assert item.last_error is not None
        assert f"waited for parcel target, which is {end}" in item.last_error
        (word,) = words_of(inbox, item)
        assert word["error"] == item.last_error


def test_the_reason_of_the_other_ones_end_is_told(inbox: Inbox) -> None:
    target = take(inbox, "target", PARCEL)
    park(inbox, "1", "target")
    finish(target, "dead")
    reason = look(inbox, "1").last_error
    assert reason is not None
    assert reason.endswith("no such user")


@pytest.mark.parametrize("how", ["freed", "cancelled", "dropped"])
def test_a_waiting_item_ends_whoever_ended_the_other_one(
    inbox: Inbox, how: str
) -> None:
    """The reconcile and people end items, too."""
    park_on = partial(park, inbox, "1", "target", JOB)
    record(inbox, "target")
    if how == "dropped":
        park_on()
        with inbox.transaction() as conn:
            item = look(inbox, "target")
            admin.drop_item(conn, inbox.kinds, item.id, who="me", why="x")
    else:
        target = take(inbox, "target")
        park_on()
        target.begin(target.items)
        batch = batch_of(inbox, target)
        fall_silent(inbox, target)
        if how == "cancelled":
            inbox.cancel(batch, {}, silence=SILENCE)
        else:
            inbox.free_silent(batch, "silent", silence=SILENCE)
            for _ in range(2):
                assert states(inbox, "1") == [State.PENDING]
                target = take(inbox, "target")
                target.begin(target.items)
                free(inbox, target)
    waiter = look(inbox, "1")
    assert (waiter.state, waiter.waits_for) == (State.DEAD, None)
    assert len(words_of(inbox, waiter)) == 1


def test_a_chain_of_waiting_items_ends_as_a_whole(inbox: Inbox) -> None:
    """However long it is."""
    target = take(inbox, "0")
    for number in range(1, 30):
        park(inbox, str(number), str(number - 1), JOB)
    finish(target, "dead")
    for number in range(30):
        item = look(inbox, str(number))
        assert item.state == State.DEAD
        assert len(words_of(inbox, item)) == 1


def test_a_chain_of_waiting_items_goes_on_link_by_link(inbox: Inbox) -> None:
    first = take(inbox, "1")
    park(inbox, "2", "1", JOB)
    park(inbox, "3", "2", JOB)
    first.done(first.items[0], {})
    assert inbox.dispatch([JOB]) == 1
    (batch,) = inbox.unbound([JOB])
    second = inbox.bind(batch.id, "run")
    assert second is not None
    assert look(inbox, "3").waits_for is not None
    second.done(second.items[0], {})
    assert look(inbox, "3").waits_for is None
    assert inbox.dispatch([JOB]) == 1


@pytest.mark.parametrize("end", ["done", "dead"])
def test_no_wake_up_is_lost_when_both_happen_at_once(
    inbox: Inbox, end: str
) -> None:
    """Parking and ending in a race: nobody waits for what has ended."""
    for round_ in range(12):
        target = take(inbox, f"target {round_}", PARCEL)
        keys = [f"{round_} {number}" for number in range(3)]
        leases = [take(inbox, key) for key in keys]
        racers: list[Callable[[], object]] = [
            partial(
                lease.wait_for,
                lease.items[0],
                PARCEL,
                f"target {round_}",
                "needs it",
            )
            for lease in leases
        ]
        race(partial(finish, target, end), *racers)
        for key in keys:
            item = look(inbox, key)
            assert item.waits_for is None
            assert item.state == (
                State.PENDING if end == "done" else State.DEAD
            )


def test_a_link_to_an_item_that_is_not_there_changes_nothing(
    inbox: Inbox,
) -> None:
    lease = take(inbox, "1")
    with pytest.raises(LookupError, match="no item parcel unknown"):
        lease.wait_for(lease.items[0], PARCEL, "unknown", "why")
    lease.beat()
    assert states(inbox, "1") == [State.RUNNING]


def test_an_item_can_wait_for_one_that_was_born_dead(inbox: Inbox) -> None:
    with inbox.transaction() as conn:
        inbox.record(
            conn, [NewItem(PARCEL, "target", {}, State.DEAD, "unreadable")]
        )
    ended = park(inbox, "1", "target")
    assert ended is not None
    assert "unreadable" in str(ended.item.last_error)


def test_items_that_would_wait_for_each_other_are_refused(
    inbox: Inbox,
) -> None:
    """They would never be due, and nothing would show it."""
    leases = {key: take(inbox, key) for key in "123"}
    for key, target in (("1", "2"), ("2", "3")):
        lease = leases[key]
        lease.wait_for(lease.items[0], JOB, target, "why")
    last = leases["3"]
    with pytest.raises(PermanentError, match="job 3 would wait for itself"):
        last.wait_for(last.items[0], JOB, "1", "why")
    last.beat()
    last.failed(last.items[0], PermanentError(), reason="a circle")
    assert states(inbox, *"123") == [State.DEAD] * 3


def test_an_item_that_would_wait_for_itself_is_refused(inbox: Inbox) -> None:
    lease = take(inbox, "1")
    with pytest.raises(PermanentError, match="in a circle"):
        lease.wait_for(lease.items[0], JOB, "1", "why")


def test_two_that_begin_to_wait_for_each_other_at_once_do_not_both(
    inbox: Inbox,
) -> None:
    """At least one of them is told, and may try again."""

    def wait(lease: Lease, target: str) -> bool:
        try:
            lease.wait_for(lease.items[0], JOB, target, "why")
        except (PermanentError, InboxUnavailableError):
            return False
        return True

    for round_ in range(4):
        a, b = take(inbox, f"a{round_}"), take(inbox, f"b{round_}")
        waits = race(
            partial(wait, a, f"b{round_}"), partial(wait, b, f"a{round_}")
        )
        assert sum(waits) <= 1


def test_a_waiting_item_can_be_retried_by_hand(inbox: Inbox) -> None:
    record(inbox, "target", kind=PARCEL)
    park(inbox, "1", "target")
    with inbox.transaction() as conn:
        admin.retry_item(conn, look(inbox, "1").id, who="me", why="hurry")
    assert inbox.dispatch([JOB]) == 1


def test_who_has_given_up_waiting_is_not_woken(inbox: Inbox) -> None:
    target = take(inbox, "target", PARCEL)
    park(inbox, "1", "target")
    with inbox.transaction() as conn:
        admin.drop_item(
            conn, inbox.kinds, look(inbox, "1").id, who="me", why="x"
        )
    dropped = look(inbox, "1")
    target.done(target.items[0], {})
    assert look(inbox, "1") == dropped
