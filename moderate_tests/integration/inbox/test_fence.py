"""A run's first act binds its batch; nobody else has any effect on it."""

from collections.abc import Callable
from functools import partial

import pytest

from moderate.errors import PermanentError
from moderate.inbox.lease import Lease, LeaseLostError
from moderate.inbox.model import State
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import (
    JOB,
    PARCEL,
    RACERS,
    SILENCE,
    batch_of,
    change,
    fall_silent,
    free,
    lease_of,
    look,
    race,
    record,
    states,
    words,
)

TARGET = "target"

LATE_ACTS: dict[str, Callable[[Lease], object]] = {
    "beat": lambda lease: lease.beat(),
    "begin": lambda lease: lease.begin(lease.items),
    "done": lambda lease: lease.done(lease.items[0], {"by": "late"}),
    "cancelled": lambda lease: lease.cancelled(lease.items[0], {"by": "late"}),
    "dead": lambda lease: lease.failed(
        lease.items[0], PermanentError(), reason="late"
    ),
    "failed": lambda lease: lease.failed(
        lease.items[0], RuntimeError(), reason="late"
    ),
    "wait_for": lambda lease: lease.wait_for(
        lease.items[0], PARCEL, TARGET, "late"
    ),
}


def everything(inbox: Inbox) -> object:
    """Read all rows that a late act could have changed."""
    return (
        change(inbox.where, "SELECT * FROM work_item ORDER BY id"),
        change(inbox.where, "SELECT * FROM batch ORDER BY id"),
    )


def dispatched(inbox: Inbox, *keys: str, kind: str = JOB) -> int:
    record(inbox, *keys, kind=kind)
    inbox.dispatch([kind])
    (batch,) = inbox.unbound([kind])
    return batch.id


def test_binding_makes_the_batch_and_its_items_the_runs(inbox: Inbox) -> None:
    batch_id = dispatched(inbox, *"123", kind=PARCEL)
    lease = inbox.bind(batch_id, "run")
    assert lease is not None
    assert [item.key for item in lease.items] == ["1", "2", "3"]
    for item in lease.items:
        assert item == look(inbox, item.key, PARCEL)
        assert (item.state, item.run_id) == (State.RUNNING, "run")
    assert inbox.unbound([PARCEL]) == []


def test_of_eight_runs_that_race_for_a_batch_one_binds_it(
    inbox: Inbox,
) -> None:
    """Rule 1: a resumed tick, two daemons, a re-execution from the UI."""
    for round_ in range(5):
        batch_id = dispatched(inbox, str(round_))
        leases = race(
            *(partial(inbox.bind, batch_id, f"{n}") for n in range(RACERS))
        )
        (lease,) = filter(None, leases)
        assert look(inbox, str(round_)).run_id == lease.run_id
        lease.done(lease.items[0], {})


def test_a_run_that_is_resumed_binds_its_own_batch_again(
    inbox: Inbox,
) -> None:
    """Rule 1: it finds what is left, and what it had begun."""
    batch_id = dispatched(inbox, *"123", kind=PARCEL)
    first = inbox.bind(batch_id, "run")
    assert first is not None
    first.begin(first.items[:2])
    first.done(first.items[0], {})
    again = inbox.bind(batch_id, "run")
    assert again is not None
    assert [item.key for item in again.items] == ["2", "3"]
    assert [item.begun_at is None for item in again.items] == [False, True]
    assert inbox.bind(batch_id, "another") is None


def test_a_batch_that_is_over_can_not_be_bound_again(inbox: Inbox) -> None:
    """Rule 1: a run that is executed again finds nothing to do."""
    lease = lease_of(inbox, "1")
    lease.done(lease.items[0], {})
    assert inbox.bind(lease.batch_id, "run") is None
    assert inbox.bind(lease.batch_id, "another") is None


def test_a_batch_that_was_taken_back_can_not_be_bound(inbox: Inbox) -> None:
    """Rule 1: the run that starts after the grace comes too late."""
    batch_id = dispatched(inbox, "1")
    inbox.free_unbound(inbox.open_batches([JOB])[0], "its run was lost")
    inbox.dispatch([JOB])
    assert inbox.bind(batch_id, "late") is None
    assert look(inbox, "1").state == State.DISPATCHED


def test_there_is_no_lease_of_a_batch_that_does_not_exist(
    inbox: Inbox,
) -> None:
    assert inbox.bind(4711, "run") is None


def test_a_bind_that_races_with_the_taking_back_wins_or_loses_whole(
    inbox: Inbox,
) -> None:
    """Rule 1."""
    for round_ in range(10):
        key = str(round_)
        batch_id = dispatched(inbox, key)
        (batch,) = inbox.open_batches([JOB])
        bind = partial(inbox.bind, batch_id, "run")
        racers: list[Callable[[], Lease | bool | None]] = [
            bind,
            partial(inbox.free_unbound, batch, "lost"),
        ]
        lease, freed = race(*racers)
        assert (lease is None) == freed
        again = bind()
        assert (again is None) == freed
        if again is None:
            assert states(inbox, key) == [State.PENDING]
            again = inbox.take_now(JOB, key, "run")
            assert again is not None
        again.done(again.items[0], {})


@pytest.mark.parametrize("act", LATE_ACTS)
@pytest.mark.parametrize("now_with", ["nobody", "the reconcile", "another"])
def test_a_run_that_lost_its_lease_has_no_effect(
    inbox: Inbox, act: str, now_with: str
) -> None:
    """Rules 1 and 4: and no final word of its own is stored (rule 7)."""
    record(inbox, TARGET, kind=PARCEL)
    lease = lease_of(inbox, "1", run="late")
    if now_with == "nobody":
        lease.release()
    else:
        free(inbox, lease)
    if now_with == "another":
        assert inbox.take_now(JOB, "1", "another") is not None
    before = everything(inbox)
    with pytest.raises(LeaseLostError, match="no longer held by run late"):
        LATE_ACTS[act](lease)
    assert everything(inbox) == before
    assert words(inbox) == []
    assert lease.release() == 0
    assert everything(inbox) == before


@pytest.mark.parametrize("act", [act for act in LATE_ACTS if act != "beat"])
def test_an_item_that_has_ended_can_not_be_ended_again(
    inbox: Inbox, act: str
) -> None:
    """Rule 7: the batch is still the run's, the item is not."""
    lease = lease_of(inbox, *"12", kind=PARCEL)
    record(inbox, TARGET, kind=PARCEL)
    lease.done(lease.items[0], {"by": "run"})
    with pytest.raises(LeaseLostError):
        LATE_ACTS[act](lease)
    assert look(inbox, "1", PARCEL).outcome == {"by": "run"}
    assert len(words(inbox)) == 1
    assert states(inbox, "2", kind=PARCEL) == [State.RUNNING]


def test_an_item_of_another_batch_can_not_be_ended(inbox: Inbox) -> None:
    """Rule 1: the guard names batch, run and item."""
    mine = lease_of(inbox, "1", run="mine")
    theirs = lease_of(inbox, "2", run="theirs")
    with pytest.raises(LeaseLostError):
        mine.done(theirs.items[0], {})
    with pytest.raises(LeaseLostError):
        mine.begin(theirs.items)
    assert mine.release(theirs.items) == 0
    assert states(inbox, "1", "2") == [State.RUNNING, State.RUNNING]


def test_a_beat_keeps_the_lease(inbox: Inbox) -> None:
    """Rule 4: freed by a missed heartbeat, and by nothing else."""
    lease = lease_of(inbox, "1")
    batch = batch_of(inbox, lease)
    fall_silent(inbox, lease)
    lease.beat()
    assert not inbox.free_silent(batch, "silent", silence=SILENCE)
    lease.done(lease.items[0], {})


def test_released_items_are_due_at_once_and_uncounted(inbox: Inbox) -> None:
    """Rule 6: an eviction is nobody's failure."""
    lease = lease_of(inbox, *"123", kind=PARCEL)
    lease.begin(lease.items[:2])
    assert lease.release(lease.items[1:]) == 2
    assert states(inbox, *"123", kind=PARCEL) == [
        State.RUNNING,
        State.PENDING,
        State.PENDING,
    ]
    assert lease.release() == 1
    assert inbox.open_batches([PARCEL]) == []
    assert inbox.dispatch([PARCEL]) == 3
    for key in "123":
        item = look(inbox, key, PARCEL)
        assert (item.failures, item.alone) == (0, False)


def test_what_an_item_was_released_for_is_kept(inbox: Inbox) -> None:
    """It waits for something that somebody may have to mend."""
    lease_of(inbox, "1").release(reason="the cluster refuses us")
    assert look(inbox, "1").last_error == "the cluster refuses us"


def test_nothing_is_released_when_nothing_is_named(inbox: Inbox) -> None:
    lease = lease_of(inbox, "1")
    assert lease.release([]) == 0
    lease.beat()
    assert states(inbox, "1") == [State.RUNNING]
