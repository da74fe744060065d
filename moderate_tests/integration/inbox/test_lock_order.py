"""Those who work on one batch at once neither block nor miss each other."""

from functools import partial

import pytest

from moderate.inbox.lease import LeaseLostError
from moderate.inbox.model import State
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import (
    PARCEL,
    SILENCE,
    batch_of,
    blocked,
    fall_silent,
    lease_of,
    lock_on,
    look,
    meanwhile,
    race,
    states,
    wait_until,
    words_of,
)


def test_threads_that_end_the_last_items_of_a_batch_free_its_slot(
    inbox: Inbox,
) -> None:
    """Each must see what the others have ended, or the slot stays taken."""
    for round_ in range(10):
        keys = [f"{round_} {n}" for n in range(3)]
        lease = lease_of(inbox, *keys, kind=PARCEL)
        race(*(partial(lease.done, item, {}) for item in lease.items))
        assert inbox.open_batches([PARCEL]) == []


def test_a_run_that_ends_its_item_waits_for_who_takes_its_lease(
    inbox: Inbox,
) -> None:
    """The late end has no effect, and nobody is a deadlock's victim."""
    lease = lease_of(inbox, "1")

    end = partial(lease.done, lease.items[0], {"by": "run"})
    close = lock_on(
        inbox.where,
        "UPDATE batch SET state = 'closed', closed_why = 'taken',"
        " closed_at = clock_timestamp() WHERE id = %(id)s",
        id=lease.batch_id,
    )
    with close as conn, meanwhile(end) as ending:
        wait_until(lambda: blocked(inbox.where) == 1)
        # In the other order these two would now wait for each other.
        conn.execute("UPDATE work_item SET state = 'pending', batch_id = NULL")
        conn.commit()
        with pytest.raises(LeaseLostError):
            ending.result()
    assert look(inbox, "1").state == State.PENDING


def test_the_end_and_the_taking_of_a_lease_exclude_each_other(
    inbox: Inbox,
) -> None:
    """Rules 1 and 7: who is first decides; the other has no effect."""
    for round_ in range(15):
        keys = [f"{round_} {n}" for n in range(3)]
        lease = lease_of(inbox, *keys, kind=PARCEL)
        lease.begin(lease.items)
        batch = batch_of(inbox, lease)
        fall_silent(inbox, lease)

        def end() -> bool:
            try:
                for item in lease.items:  # noqa: B023
                    lease.done(item, {})  # noqa: B023
            except LeaseLostError:
                return False
            return True

        take = partial(inbox.free_silent, batch, "silent", silence=SILENCE)
        race(end, take)
        for state, key in zip(
            states(inbox, *keys, kind=PARCEL), keys, strict=True
        ):
            told = words_of(inbox, look(inbox, key, PARCEL))
            assert state in {State.DONE, State.PENDING}
            assert len(told) == (state == State.DONE)
        assert inbox.open_batches([PARCEL]) == []
        _finish_all(inbox)


def _finish_all(inbox: Inbox) -> None:
    while inbox.dispatch([PARCEL]):
        for batch in inbox.unbound([PARCEL]):
            lease = inbox.bind(batch.id, "sweeper")
            assert lease is not None
            for item in lease.items:
                lease.done(item, {})
