"""A running item is freed by a missed heartbeat, and by nothing else."""

from datetime import timedelta
from functools import partial

import pytest

from moderate.inbox.lease import LeaseLostError
from moderate.inbox.model import State
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import (
    GRACE,
    JOB,
    LONG_AGO,
    PARCEL,
    RACERS,
    SILENCE,
    batch_of,
    change,
    fall_silent,
    free,
    lease_of,
    look,
    make_due,
    race,
    record,
    states,
    words,
    words_of,
)


def test_a_run_that_beats_is_left_alone(inbox: Inbox) -> None:
    """Rule 4: whatever Dagster says of the run."""
    lease = lease_of(inbox, "1")
    batch = batch_of(inbox, lease)
    lease.beat()
    assert inbox.silent([JOB], silence=SILENCE, grace=GRACE) == []
    assert not inbox.free_silent(batch, "Dagster said so", silence=SILENCE)
    assert not inbox.cancel(batch, {}, silence=SILENCE)
    assert states(inbox, "1") == [State.RUNNING]


def test_a_run_that_fell_silent_is_found_and_loses_its_lease(
    inbox: Inbox,
) -> None:
    """Rule 4: and its next beat tells it to stop."""
    lease = lease_of(inbox, "1")
    fall_silent(inbox, lease)
    (batch,) = inbox.silent([JOB], silence=SILENCE, grace=GRACE)
    assert (batch.id, batch.run_id) == (lease.batch_id, "run")
    assert inbox.free_silent(batch, "no sign of life", silence=SILENCE)
    with pytest.raises(LeaseLostError):
        lease.beat()
    assert states(inbox, "1") == [State.PENDING]
    assert inbox.open_batches([JOB]) == []


def test_kinds_that_are_not_asked_for_are_not_looked_at(inbox: Inbox) -> None:
    lease = lease_of(inbox, "1")
    fall_silent(inbox, lease)
    assert inbox.silent([PARCEL], silence=SILENCE, grace=GRACE) == []
    assert inbox.open_batches([PARCEL]) == []


def test_items_that_were_not_begun_return_uncounted(inbox: Inbox) -> None:
    """Rule 6: an attempt counts when an item's own work begins."""
    lease = lease_of(inbox, *"123", kind=PARCEL)
    lease.done(lease.items[0], {})
    lease.begin(lease.items[1:2])
    assert free(inbox, lease)
    begun, waiting = look(inbox, "2", PARCEL), look(inbox, "3", PARCEL)
    assert (begun.state, begun.failures) == (State.PENDING, 1)
    assert begun.last_error == "no sign of life"
    assert (waiting.state, waiting.failures) == (State.PENDING, 0)
    assert (waiting.last_error, waiting.alone) == (None, False)
    assert states(inbox, "1", kind=PARCEL) == [State.DONE]


def test_items_begun_when_their_run_died_go_alone_next_time(
    inbox: Inbox,
) -> None:
    """Rule 6: one that kills its run can't take others along for long."""
    lease = lease_of(inbox, *"123", kind=PARCEL)
    lease.begin(lease.items[:2])
    free(inbox, lease)
    make_due(inbox)
    assert inbox.dispatch([PARCEL]) == 2
    sizes = {batch.item_key: batch.size for batch in inbox.unbound([PARCEL])}
    assert set(sizes.values()) == {1}


def test_an_item_that_kills_every_run_is_dead_and_told_in_the_end(
    inbox: Inbox,
) -> None:
    """Rules 6 and 7: the reconcile stores the final word, too."""
    for number in range(3):
        make_due(inbox)
        lease = lease_of(inbox, "1", run=f"run {number}")
        lease.begin(lease.items)
        assert words(inbox) == []
        free(inbox, lease)
    item = look(inbox, "1")
    assert (item.state, item.failures) == (State.DEAD, 3)
    (word,) = words_of(inbox, item)
    assert word["error"] == "no sign of life"


def test_a_freed_item_waits_for_its_backoff(inbox: Inbox) -> None:
    lease = lease_of(inbox, "1")
    lease.begin(lease.items)
    free(inbox, lease)
    assert inbox.dispatch([JOB]) == 0
    make_due(inbox)
    assert inbox.dispatch([JOB]) == 1


def test_ticks_that_race_to_free_a_batch_count_one_failure(
    inbox: Inbox,
) -> None:
    for round_ in range(3):
        key = str(round_)
        lease = lease_of(inbox, key)
        lease.begin(lease.items)
        batch = batch_of(inbox, lease)
        fall_silent(inbox, lease)
        freed = race(
            *[partial(inbox.free_silent, batch, "silent", silence=SILENCE)]
            * RACERS
        )
        assert sum(freed) == 1
        assert look(inbox, key).failures == 1


def put_off(inbox: Inbox) -> None:
    change(inbox.where, "UPDATE work_item SET next_attempt_at = 'infinity'")


def test_a_beat_that_races_with_the_reconcile_wins_or_stops_the_run(
    inbox: Inbox,
) -> None:
    """Rule 4: never both a live run and a freed item."""
    for round_ in range(10):
        key = str(round_)
        lease = lease_of(inbox, key)
        batch = batch_of(inbox, lease)
        fall_silent(inbox, lease)

        def beat() -> bool:
            try:
                lease.beat()  # noqa: B023
            except LeaseLostError:
                return False
            return True

        take = partial(inbox.free_silent, batch, "silent", silence=SILENCE)
        alive, freed = race(beat, take)
        assert alive != freed
        if alive:
            lease.done(lease.items[0], {})
        assert states(inbox, key) == [State.DONE if alive else State.PENDING]
        change(
            inbox.where, "UPDATE work_item SET next_attempt_at = 'infinity'"
        )


def test_a_dispatched_batch_is_looked_at_only_after_its_grace(
    inbox: Inbox,
) -> None:
    """Rule 3: waiting in Dagster's queue costs nothing."""
    record(inbox, "1")
    inbox.dispatch([JOB])
    assert inbox.silent([JOB], silence=SILENCE, grace=GRACE) == []
    change(
        inbox.where,
        "UPDATE batch SET created_at = created_at - %(ago)s::interval",
        ago=LONG_AGO,
    )
    (batch,) = inbox.silent([JOB], silence=SILENCE, grace=GRACE)
    assert not batch.is_bound
    assert states(inbox, "1") == [State.DISPATCHED]


def test_a_run_that_started_has_its_time_to_bind_from_the_first_look(
    inbox: Inbox,
) -> None:
    """A killed local run stays STARTED for ever: hearsay is not enough."""
    record(inbox, "1")
    inbox.dispatch([JOB])
    (batch,) = inbox.open_batches([JOB])
    assert not inbox.is_start_overdue(batch, silence=SILENCE)
    assert not inbox.is_start_overdue(batch, silence=SILENCE)
    change(
        inbox.where,
        "UPDATE batch SET started_at = started_at - %(ago)s::interval",
        ago=LONG_AGO,
    )
    assert inbox.is_start_overdue(batch, silence=SILENCE)


def test_a_run_that_has_bound_its_batch_is_not_overdue(inbox: Inbox) -> None:
    record(inbox, "1")
    inbox.dispatch([JOB])
    (batch,) = inbox.open_batches([JOB])
    inbox.is_start_overdue(batch, silence=SILENCE)
    inbox.bind(batch.id, "run")
    assert not inbox.is_start_overdue(batch, silence=timedelta())


def test_a_run_cancelled_in_the_queue_cancels_its_items_and_is_told(
    inbox: Inbox,
) -> None:
    """Rule 8: reconcile settles what no op could."""
    record(inbox, "1")
    inbox.dispatch([JOB])
    (batch,) = inbox.open_batches([JOB])
    assert inbox.cancel(batch, {"error": "cancelled"}, silence=SILENCE)
    item = look(inbox, "1")
    assert (item.state, item.failures) == (State.CANCELLED, 0)
    assert item.outcome == {"error": "cancelled"}
    (word,) = words_of(inbox, item)
    assert word["state"] == "cancelled"
    assert inbox.bind(batch.id, "run") is None
    assert inbox.dispatch([JOB]) == 0
    assert not inbox.cancel(batch, {}, silence=SILENCE)


def test_a_run_cancelled_at_work_cancels_its_items_once_it_is_silent(
    inbox: Inbox,
) -> None:
    """Rules 4 and 8: it may still be settling them itself."""
    lease = lease_of(inbox, "1")
    lease.begin(lease.items)
    batch = batch_of(inbox, lease)
    assert not inbox.cancel(batch, {"error": "cancelled"}, silence=SILENCE)
    fall_silent(inbox, lease)
    assert inbox.cancel(batch, {"error": "cancelled"}, silence=SILENCE)
    assert states(inbox, "1") == [State.CANCELLED]
    assert len(words(inbox)) == 1
    with pytest.raises(LeaseLostError):
        lease.cancelled(lease.items[0], {"error": "cancelled late"})
    assert len(words(inbox)) == 1


def test_what_a_cancelled_run_had_done_stays_done(inbox: Inbox) -> None:
    """Rule 8: only what it still held is cancelled."""
    lease = lease_of(inbox, "1")
    lease.done(lease.items[0], {})
    batch = batch_of(inbox, lease_of(inbox, "2", run="run 2"))
    fall_silent(inbox, inbox.bind(batch.id, "run 2") or lease)
    assert inbox.cancel(batch, {}, silence=SILENCE)
    assert states(inbox, "1", "2") == [State.DONE, State.CANCELLED]


@pytest.mark.parametrize("bound", [False, True])
def test_a_kind_that_is_not_cancellable_is_released_instead(
    inbox: Inbox, *, bound: bool
) -> None:
    """Rule 8: nobody is told of what goes on."""
    record(inbox, "1", "2", kind=PARCEL)
    inbox.dispatch([PARCEL])
    (batch,) = inbox.open_batches([PARCEL])
    if bound:
        lease = inbox.bind(batch.id, "run")
        assert lease is not None
        lease.begin(lease.items[:1])
        batch = batch_of(inbox, lease)
        assert not inbox.cancel(batch, {}, silence=SILENCE)
        fall_silent(inbox, lease)
    assert inbox.cancel(batch, {}, silence=SILENCE)
    assert states(inbox, "1", "2", kind=PARCEL) == [State.PENDING] * 2
    assert look(inbox, "1", PARCEL).failures == bound
    assert words(inbox) == []


def test_a_batch_bound_since_it_was_read_is_not_cancelled(
    inbox: Inbox,
) -> None:
    """Rule 1: the reconcile's view may be old."""
    record(inbox, "1")
    inbox.dispatch([JOB])
    (batch,) = inbox.open_batches([JOB])
    inbox.bind(batch.id, "run")
    assert not inbox.cancel(batch, {}, silence=timedelta())
    assert states(inbox, "1") == [State.RUNNING]
