"""Due items travel in batches, never more than there are slots."""

from dataclasses import replace
from functools import partial

import pytest
from psycopg.sql import SQL

from moderate.inbox import admin
from moderate.inbox.database import transaction
from moderate.inbox.model import NewItem, State
from moderate.inbox.queries import statement
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import (
    GRACE,
    JOB,
    KINDS,
    LONG_AGO,
    PARCEL,
    RACERS,
    SILENCE,
    WORD,
    change,
    free,
    lease_of,
    look,
    make_due,
    race,
    record,
    states,
)


def wait(inbox: Inbox, key: str, hours: int) -> None:
    """Let an item be due in so many hours (negative: since)."""
    change(
        inbox.where,
        "UPDATE work_item SET next_attempt_at ="
        " clock_timestamp() + make_interval(hours => %(hours)s)"
        " WHERE key = %(key)s",
        hours=hours,
        key=key,
    )


def batches(inbox: Inbox, kind: str) -> list[list[str]]:
    """Read which keys travel together, in the order of the batches."""
    rows = change(
        inbox.where,
        "SELECT array_agg(item.key ORDER BY item.id) AS keys"
        " FROM batch JOIN work_item AS item ON item.batch_id = batch.id"
        " WHERE batch.kind = %(kind)s GROUP BY batch.id ORDER BY batch.id",
        kind=kind,
    )
    return [row["keys"] for row in rows]


def test_a_due_item_is_dispatched_under_a_new_dispatch_number(
    inbox: Inbox,
) -> None:
    record(inbox, "1")
    assert inbox.dispatch([JOB]) == 1
    item = look(inbox, "1")
    assert (item.state, item.dispatch) == (State.DISPATCHED, 1)
    (batch,) = inbox.unbound([JOB])
    assert batch.run_key == f"{JOB}:{item.id}:1"
    assert (batch.id, batch.size) == (item.batch_id, 1)


def test_an_item_is_not_dispatched_before_its_time(inbox: Inbox) -> None:
    record(inbox, "1")
    wait(inbox, "1", 1)
    assert inbox.dispatch([JOB]) == 0


def test_dispatch_never_exceeds_the_free_slots(inbox: Inbox) -> None:
    """Rule 3."""
    record(inbox, *"12345")
    assert inbox.dispatch([JOB]) == 2
    assert inbox.dispatch([JOB]) == 0
    assert len(inbox.unbound([JOB])) == 2


def test_a_bound_batch_holds_its_slot_until_its_last_item_ends(
    inbox: Inbox,
) -> None:
    """Rule 3: dispatched and running batches count alike."""
    lease = lease_of(inbox, *"123", kind=PARCEL)
    record(inbox, *"abcdef", kind=PARCEL)
    assert inbox.dispatch([PARCEL]) == 3
    for item in lease.items:
        assert inbox.dispatch([PARCEL]) == 0
        lease.done(item, {})
    assert inbox.dispatch([PARCEL]) == 3


@pytest.mark.parametrize("kind", [JOB, PARCEL])
def test_ticks_that_race_never_exceed_the_slots(
    inbox: Inbox, kind: str
) -> None:
    """Rule 3: two daemons, or a tick that overlaps the next one."""
    keys = [str(number) for number in range(40)]
    record(inbox, *keys, kind=kind)
    for _ in range(3):
        counts = race(*[partial(inbox.dispatch, [kind])] * RACERS)
        open_now = inbox.unbound([kind])
        assert len(open_now) == 2
        assert sum(counts) == sum(batch.size for batch in open_now)
        for batch in open_now:
            inbox.free_unbound(inbox.open_batches([kind])[0], "again")
            assert batch.run_key.startswith(f"{kind}:")


def test_more_slots_than_open_batches_is_not_needed_to_be_safe(
    inbox: Inbox,
) -> None:
    """Rule 3: somebody lowered the setting while more batches are open."""
    record(inbox, *"123")
    inbox.dispatch([JOB])
    fewer = Inbox(inbox.where, [replace(KINDS[0], slots=1)])
    assert fewer.dispatch([JOB]) == 0


def test_kinds_do_not_share_their_slots(inbox: Inbox) -> None:
    record(inbox, *"123")
    record(inbox, "4", kind=WORD)
    assert inbox.dispatch([JOB, WORD]) == 3


def test_cheap_items_travel_many_to_a_batch(inbox: Inbox) -> None:
    record(inbox, *"1234567", kind=PARCEL)
    assert inbox.dispatch([PARCEL]) == 6
    assert batches(inbox, PARCEL) == [["1", "2", "3"], ["4", "5", "6"]]
    assert [batch.size for batch in inbox.unbound([PARCEL])] == [3, 3]


def test_a_batch_that_is_not_full_is_dispatched_too(inbox: Inbox) -> None:
    record(inbox, *"12345", kind=PARCEL)
    assert inbox.dispatch([PARCEL]) == 5
    assert batches(inbox, PARCEL) == [["1", "2", "3"], ["4", "5"]]


def test_what_was_due_first_goes_first(inbox: Inbox) -> None:
    record(inbox, *"12345", kind=PARCEL)
    for hours, key in enumerate("41523"):
        wait(inbox, key, hours - 10)
    inbox.dispatch([PARCEL])
    assert batches(inbox, PARCEL) == [["1", "4", "5"], ["2", "3"]]


def test_the_first_item_speaks_for_its_batch(inbox: Inbox) -> None:
    """Rule 2: the run key and what the run request says are of one item."""
    record(inbox, "z", "a", "m", kind=PARCEL)
    for hours, key in enumerate("amz"):
        wait(inbox, key, hours - 10)
    change(inbox.where, "UPDATE work_item SET dispatch = 4 WHERE key = 'a'")
    inbox.dispatch([PARCEL])
    (batch,) = inbox.unbound([PARCEL])
    first = look(inbox, "a", PARCEL)
    assert (batch.item_id, batch.item_key, batch.dispatch) == (
        first.id,
        "a",
        5,
    )
    assert batch.run_key == f"{PARCEL}:{first.id}:5"


def test_an_item_marked_alone_has_a_batch_of_its_own(inbox: Inbox) -> None:
    """Rule 6: what may have killed a run takes no other item along."""
    record(inbox, *"12345", kind=PARCEL)
    change(
        inbox.where,
        "UPDATE work_item SET alone = true WHERE key IN ('1', '3')",
    )
    assert inbox.dispatch([PARCEL]) == 4
    assert batches(inbox, PARCEL) == [["1"], ["2", "4", "5"]]


def test_items_marked_alone_do_not_starve_the_others(inbox: Inbox) -> None:
    """One bad event harms nobody else: they queue like all."""
    record(inbox, *"abc", kind=PARCEL)
    record(inbox, *"123", kind=PARCEL)
    change(
        inbox.where,
        "UPDATE work_item SET alone = true WHERE key IN ('1', '2', '3')",
    )
    inbox.dispatch([PARCEL])
    assert batches(inbox, PARCEL) == [["a", "b", "c"], ["1"]]


def test_a_dispatched_item_that_no_run_took_returns_uncounted(
    inbox: Inbox,
) -> None:
    """Rule 3: waiting in Dagster's queue uses no attempt up."""
    for number in range(1, 6):
        record(inbox, "1")
        inbox.dispatch([JOB])
        (batch,) = inbox.open_batches([JOB])
        assert inbox.free_unbound(batch, "its run was lost")
        item = look(inbox, "1")
        assert (item.state, item.failures) == (State.PENDING, 0)
        assert (item.dispatch, item.alone) == (number, False)


def test_a_batch_is_taken_back_once_and_only_while_unbound(
    inbox: Inbox,
) -> None:
    """Rule 1: who binds first keeps it, although the reconcile is late."""
    record(inbox, "1")
    inbox.dispatch([JOB])
    (batch,) = inbox.open_batches([JOB])
    assert inbox.bind(batch.id, "run") is not None
    assert not inbox.free_unbound(batch, "its run was lost")
    assert look(inbox, "1").state == State.RUNNING


def test_the_dispatch_number_never_goes_back(inbox: Inbox) -> None:
    """Rule 2: whatever happens to an item, its run keys are new for ever."""
    record(inbox, "1")
    keys_seen = []
    numbers = [0]

    def go() -> int:
        make_due(inbox)
        assert inbox.dispatch([JOB]) == 1
        (batch,) = inbox.unbound([JOB])
        keys_seen.append(batch.run_key)
        numbers.append(look(inbox, "1").dispatch)
        return batch.id

    def retry_by_hand() -> None:
        with inbox.transaction() as conn:
            assert admin.retry_item(
                conn, look(inbox, "1").id, who="me", why="test"
            )

    go()
    inbox.free_unbound(inbox.open_batches([JOB])[0], "lost")
    lease = inbox.bind(go(), "run 2")
    assert lease is not None
    free(inbox, lease)
    lease = inbox.bind(go(), "run 3")
    assert lease is not None
    lease.release()
    lease = inbox.bind(go(), "run 4")
    assert lease is not None
    lease.failed(lease.items[0], ValueError(), reason="bad")
    retry_by_hand()
    lease = inbox.bind(go(), "run 5")
    assert lease is not None
    lease.cancelled(lease.items[0], {})
    retry_by_hand()
    go()
    assert numbers == [0, 1, 2, 3, 4, 5, 6]
    assert len(set(keys_seen)) == 6


def test_a_run_can_take_an_item_that_its_own_work_has_made(
    inbox: Inbox,
) -> None:
    record(inbox, "1", kind=WORD)
    lease = inbox.take_now(WORD, "1", "run")
    assert lease is not None
    item = look(inbox, "1", WORD)
    assert (item.state, item.dispatch) == (State.RUNNING, 1)
    assert (item.run_id, item.batch_id) == ("run", lease.batch_id)
    lease.done(lease.items[0], {})
    assert inbox.open_batches([WORD]) == []


def test_an_item_is_taken_now_by_one_run_alone(inbox: Inbox) -> None:
    """Rule 1: eight runs and a tick at once; one of them has it."""
    for round_ in range(5):
        key = str(round_)
        record(inbox, key, kind=WORD)
        leases = race(
            *(
                partial(inbox.take_now, WORD, key, f"run {n}")
                for n in range(RACERS)
            )
        )
        (lease,) = filter(None, leases)
        assert look(inbox, key, WORD).run_id == lease.run_id
        assert look(inbox, key, WORD).dispatch == 1


def test_an_item_is_taken_or_dispatched_but_never_both(inbox: Inbox) -> None:
    """Rule 1."""
    for round_ in range(10):
        key = str(round_)
        record(inbox, key, kind=WORD)
        taken, dispatched = race(
            lambda: inbox.take_now(WORD, key, "run"),  # noqa: B023
            lambda: inbox.dispatch([WORD]),
        )
        assert (taken is None) == bool(dispatched)
        assert look(inbox, key, WORD).dispatch == 1
        for batch in inbox.open_batches([WORD]):
            lease = inbox.bind(batch.id, batch.run_id or "run")
            assert lease is not None
            lease.done(lease.items[0], {})


@pytest.mark.parametrize("state", [State.DISPATCHED, State.DONE])
def test_an_item_that_is_not_pending_can_not_be_taken(
    inbox: Inbox, state: State
) -> None:
    lease = lease_of(inbox, "1", kind=WORD)
    if state == State.DONE:
        lease.done(lease.items[0], {})
    else:
        lease.release()
        inbox.dispatch([WORD])
    assert look(inbox, "1", WORD).state == state
    assert inbox.take_now(WORD, "1", "another") is None
    assert inbox.take_now(WORD, "unknown", "another") is None


def test_a_run_that_died_over_a_taken_item_gives_it_back(
    inbox: Inbox,
) -> None:
    record(inbox, "1", kind=WORD)
    lease = inbox.take_now(WORD, "1", "run")
    assert lease is not None
    assert free(inbox, lease)
    assert states(inbox, "1", kind=WORD) == [State.PENDING]
    assert inbox.dispatch([WORD]) == 1


def test_the_cost_of_a_dispatch_does_not_grow_with_what_is_not_due(
    inbox: Inbox,
) -> None:
    """Cost follows news: neither the done nor the backed off are read."""
    with inbox.transaction() as conn:
        inbox.record(conn, [NewItem(JOB, "due")])
    change(
        inbox.where,
        "INSERT INTO work_item (kind, key, state, finished_at,"
        " next_attempt_at) SELECT 'job', n::text,"
        " CASE WHEN n %% 2 = 0 THEN 'pending' ELSE 'done' END,"
        " CASE WHEN n %% 2 = 1 THEN clock_timestamp() END,"
        " clock_timestamp() + '1 hour' FROM generate_series(1, 20000) AS n",
    )
    change(inbox.where, "ANALYZE work_item")
    with transaction(inbox.where) as conn:
        plan = conn.execute(
            SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + statement("dispatch_due"),
            {"kind": JOB, "slots": 2, "batch_size": 10},
        ).fetchone()
    assert plan is not None
    assert rows_read(plan["QUERY PLAN"][0]["Plan"]) < 100


def rows_read(node: dict[str, object]) -> int:
    """Count the rows that a plan has looked at, those in vain included."""
    inner = node.get("Plans", [])
    assert isinstance(inner, list)
    own = sum(
        int(str(node.get(name, 0)))
        for name in ("Actual Rows", "Rows Removed by Filter")
    )
    return own + sum(rows_read(each) for each in inner)


def test_silent_and_overdue_batches_are_found_running_ones_first(
    inbox: Inbox,
) -> None:
    """Many that wait in Dagster's queue must not hide a dead run."""
    record(inbox, "queued", "dead")
    inbox.dispatch([JOB])
    queued, dead = inbox.unbound([JOB])
    assert inbox.bind(dead.id, "run") is not None
    assert inbox.silent([JOB], silence=SILENCE, grace=GRACE) == []
    change(
        inbox.where,
        "UPDATE batch SET created_at = created_at - %(ago)s::interval,"
        " heartbeat_at = heartbeat_at - %(ago)s::interval",
        ago=LONG_AGO,
    )
    found = inbox.silent([JOB], silence=SILENCE, grace=GRACE)
    assert [batch.id for batch in found] == [dead.id, queued.id]
    assert [batch.is_bound for batch in found] == [True, False]
