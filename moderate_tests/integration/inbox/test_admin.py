"""What people do by hand is bounded, remembered, and harms nothing."""

from datetime import timedelta

import pytest

from moderate.errors import PermanentError
from moderate.inbox import admin
from moderate.inbox.lease import Lease
from moderate.inbox.model import NewItem, State, WorkItem
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import (
    JOB,
    LONG_AGO,
    PARCEL,
    WORD,
    blocked,
    change,
    keys,
    lease_of,
    lock_on,
    look,
    meanwhile,
    record,
    wait_until,
    words,
    words_of,
)


def item_in(inbox: Inbox, state: State) -> WorkItem:
    """Bring an item with a payload into a state."""
    record(inbox, "1", payload={"secret": "of the event"})
    if state == State.PENDING:
        return look(inbox, "1")
    inbox.dispatch([JOB])
    if state != State.DISPATCHED:
        (batch,) = inbox.unbound([JOB])
        lease = inbox.bind(batch.id, "run")
        assert lease is not None
        _end(lease, state)
    item = look(inbox, "1")
    assert item.state == state
    return item


def _end(lease: Lease, state: State) -> None:
    (item,) = lease.items
    if state == State.DONE:
        lease.done(item, {"report": "x"})
    elif state == State.CANCELLED:
        lease.cancelled(item, {"error": "x"})
    elif state == State.DEAD:
        lease.failed(item, PermanentError(), reason="bad", outcome={"e": "x"})


def retry(inbox: Inbox, item: WorkItem) -> bool:
    with inbox.transaction() as conn:
        return admin.retry_item(conn, item.id, who="ada", why="mended")


def drop(inbox: Inbox, item: WorkItem) -> bool:
    with inbox.transaction() as conn:
        return admin.drop_item(
            conn, inbox.kinds, item.id, who="ada", why="a test"
        )


def audit(inbox: Inbox, item: WorkItem) -> list[tuple[str, str, str]]:
    with inbox.transaction() as conn:
        found = admin.audit_of(conn, item.id)
    return [(each.action, each.who, each.why) for each in found]


def listed(
    inbox: Inbox,
    *,
    kind: str | None = None,
    state: State | None = None,
    dropped: bool = False,
    limit: int = 100,
) -> list[str]:
    with inbox.transaction() as conn:
        return keys(
            admin.list_items(
                conn, kind=kind, state=state, dropped=dropped, limit=limit
            )
        )


@pytest.mark.parametrize("state", [State.DEAD, State.CANCELLED, State.PENDING])
def test_a_retry_makes_an_item_due_with_its_failures_reset(
    inbox: Inbox, state: State
) -> None:
    """Rule 2: and never its dispatch number."""
    before = item_in(inbox, state)
    change(
        inbox.where,
        "UPDATE work_item SET failures = 2,"
        " next_attempt_at = clock_timestamp() + '1 day'",
    )
    assert retry(inbox, before)
    item = look(inbox, "1")
    assert (item.state, item.failures) == (State.PENDING, 0)
    assert (item.finished_at, item.outcome) == (None, None)
    assert item.dispatch == before.dispatch
    assert item.payload == before.payload
    assert audit(inbox, item) == [("retry", "ada", "mended")]
    assert inbox.dispatch([JOB]) == 1
    assert look(inbox, "1").dispatch == before.dispatch + 1


@pytest.mark.parametrize(
    "state", [State.DISPATCHED, State.RUNNING, State.DONE]
)
def test_an_item_at_work_or_done_is_not_retried(
    inbox: Inbox, state: State
) -> None:
    before = item_in(inbox, state)
    assert not retry(inbox, before)
    assert look(inbox, "1") == before
    assert audit(inbox, before) == []


def test_an_item_that_does_not_exist_is_neither_retried_nor_dropped(
    inbox: Inbox,
) -> None:
    gone = item_in(inbox, State.PENDING)
    change(inbox.where, "DELETE FROM work_item")
    assert not retry(inbox, gone)
    assert not drop(inbox, gone)


@pytest.mark.parametrize("state", [State.DEAD, State.CANCELLED, State.DONE])
def test_what_is_dropped_leaves_a_tombstone(
    inbox: Inbox, state: State
) -> None:
    """Rule 10: kind and key stay, what it held is gone."""
    before = item_in(inbox, state)
    told = words(inbox)
    assert drop(inbox, before)
    item = look(inbox, "1")
    assert (item.state, item.payload, item.outcome) == (state, {}, None)
    assert item.dropped_at is not None
    assert item.finished_at == before.finished_at
    assert words(inbox) == told
    assert audit(inbox, item) == [("drop", "ada", "a test")]


def test_a_tombstone_keeps_reconcile_from_doing_the_work_again(
    inbox: Inbox,
) -> None:
    """Rule 10."""
    drop(inbox, item_in(inbox, State.DEAD))
    with inbox.transaction() as conn:
        assert inbox.known_keys(conn, JOB, ["1"]) == {"1"}
    assert record(inbox, "1", payload={"again": True}) == set()
    assert look(inbox, "1").payload == {}
    assert inbox.dispatch([JOB]) == 0


def test_dropping_an_item_that_was_still_to_be_done_is_told(
    inbox: Inbox,
) -> None:
    """Rule 7: it ends cancelled, and its word knows what it held."""
    item = item_in(inbox, State.PENDING)
    assert drop(inbox, item)
    ended = look(inbox, "1")
    assert (ended.state, ended.payload) == (State.CANCELLED, {})
    (word,) = words_of(inbox, ended)
    assert word["state"] == "cancelled"
    assert word["payload"] == {"secret": "of the event"}


def test_an_item_that_is_due_again_while_it_is_dropped_is_told(
    inbox: Inbox,
) -> None:
    """Rule 7: what counts is its state when it is dropped, not before."""
    item = item_in(inbox, State.DEAD)
    (first,) = words_of(inbox, item)
    change(inbox.where, "UPDATE work_item SET dispatch = 7 WHERE key = '1'")
    with (
        lock_on(
            inbox.where,
            "UPDATE work_item SET state = 'pending', finished_at = NULL"
            " WHERE key = '1'",
        ) as conn,
        meanwhile(lambda: drop(inbox, item)) as dropping,
    ):
        wait_until(lambda: blocked(inbox.where) == 1)
        conn.commit()
        assert dropping.result()
    assert look(inbox, "1").state == State.CANCELLED
    assert [word["state"] for word in words_of(inbox, item)] == [
        first["state"],
        "cancelled",
    ]


@pytest.mark.parametrize("state", [State.DISPATCHED, State.RUNNING])
def test_an_item_at_work_is_not_dropped(inbox: Inbox, state: State) -> None:
    before = item_in(inbox, state)
    assert not drop(inbox, before)
    assert look(inbox, "1") == before
    assert audit(inbox, before) == []


def test_a_tombstone_is_neither_dropped_nor_retried_again(
    inbox: Inbox,
) -> None:
    item = item_in(inbox, State.DEAD)
    assert drop(inbox, item)
    assert not drop(inbox, item)
    assert not retry(inbox, item)
    assert len(audit(inbox, item)) == 1


def test_everything_done_by_hand_is_remembered_in_order(
    inbox: Inbox,
) -> None:
    item = item_in(inbox, State.DEAD)
    retry(inbox, item)
    drop(inbox, item)
    assert [action for action, _, _ in audit(inbox, item)] == [
        "retry",
        "drop",
    ]


def test_nothing_is_remembered_of_what_was_rolled_back(inbox: Inbox) -> None:
    item = item_in(inbox, State.DEAD)

    def fail() -> None:
        with inbox.transaction() as conn:
            admin.retry_item(conn, item.id, who="ada", why="mended")
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert look(inbox, "1") == item
    assert audit(inbox, item) == []


def test_done_items_of_an_age_become_tombstones(inbox: Inbox) -> None:
    """Rule 10: the dead, the cancelled and the young stay whole."""
    for key, state in {
        "old": State.DONE,
        "young": State.DONE,
        "dead": State.DEAD,
        "cancelled": State.CANCELLED,
    }.items():
        record(inbox, key, payload={"of": key})
        lease = lease_of(inbox, key)
        _end(lease, state)
    record(inbox, "pending", payload={"of": "pending"})
    change(
        inbox.where,
        "UPDATE work_item SET finished_at = finished_at - '2 days'::interval"
        " WHERE key NOT IN ('young', 'pending')",
    )
    with inbox.transaction() as conn:
        assert admin.prune_done(conn, JOB, age=timedelta(days=1)) == 1
        assert admin.prune_done(conn, JOB, age=timedelta(days=1)) == 0
    old = look(inbox, "old")
    assert (old.state, old.payload, old.outcome) == (State.DONE, {}, None)
    assert old.dropped_at is not None
    assert record(inbox, "old") == set()
    for key in ("young", "dead", "cancelled", "pending"):
        assert look(inbox, key).payload == {"of": key}
        assert look(inbox, key).dropped_at is None


def test_pruning_is_bounded_and_keeps_to_its_kind(inbox: Inbox) -> None:
    record(inbox, *"12345")
    record(inbox, *"12345", kind=PARCEL)
    change(
        inbox.where,
        "UPDATE work_item SET state = 'done',"
        " finished_at = clock_timestamp() - '2 days'::interval",
    )
    with inbox.transaction() as conn:
        prune = [
            admin.prune_done(conn, JOB, age=timedelta(days=1), limit=3)
            for _ in range(3)
        ]
    assert prune == [3, 2, 0]
    assert len(listed(inbox, kind=PARCEL)) == 5


def test_leases_that_are_over_are_forgotten_by_age(inbox: Inbox) -> None:
    """Or a table that nobody reads would grow with every run."""
    for key in ("1", "2"):
        lease = lease_of(inbox, key)
        lease.done(lease.items[0], {})
    lease_of(inbox, "open")
    with inbox.transaction() as conn:
        assert admin.prune_batches(conn, JOB, age=timedelta(days=1)) == 0
    change(
        inbox.where,
        "UPDATE batch SET created_at = created_at - %(ago)s::interval,"
        " closed_at = closed_at - %(ago)s::interval",
        ago=2 * LONG_AGO,
    )
    with inbox.transaction() as conn:
        assert admin.prune_batches(conn, PARCEL, age=LONG_AGO) == 0
        assert admin.prune_batches(conn, JOB, age=LONG_AGO, limit=1) == 1
        assert admin.prune_batches(conn, JOB, age=LONG_AGO) == 1
    assert len(inbox.open_batches([JOB])) == 1
    assert inbox.bind(lease.batch_id, "run") is None


def test_items_are_listed_by_kind_and_state_the_latest_change_first(
    inbox: Inbox,
) -> None:
    record(inbox, "1")
    record(inbox, "2")
    record(inbox, "3", kind=WORD)
    lease = lease_of(inbox, "x", kind=PARCEL)
    lease.release()
    change(
        inbox.where,
        "UPDATE work_item SET updated_at = clock_timestamp() WHERE key = '1'",
    )
    assert listed(inbox) == ["1", "x", "3", "2"]
    assert listed(inbox, kind=JOB) == ["1", "2"]
    assert listed(inbox, state=State.DONE) == []
    assert listed(inbox, kind=JOB, state=State.PENDING, limit=1) == ["1"]


def test_tombstones_are_listed_only_if_they_are_asked_for(
    inbox: Inbox,
) -> None:
    drop(inbox, item_in(inbox, State.DONE))
    assert listed(inbox, kind=JOB) == []
    assert listed(inbox, kind=JOB, dropped=True) == ["1"]


def test_an_item_is_found_by_its_id_and_by_its_key(inbox: Inbox) -> None:
    item = item_in(inbox, State.DEAD)
    with inbox.transaction() as conn:
        assert admin.get_item(conn, item.id) == item
        assert admin.find_item(conn, JOB, "1") == item
        assert admin.get_item(conn, item.id + 1000) is None
        assert admin.find_item(conn, PARCEL, "1") is None


def test_counts_tell_what_waits_and_since_when(inbox: Inbox) -> None:
    """Rule 12, and the truth is visible: by the server's clock."""
    record(inbox, "due", "later", "waiting", "gone")
    record(inbox, "1", kind=WORD)
    with inbox.transaction() as conn:
        inbox.record(conn, [NewItem(JOB, "dead", {}, State.DEAD, "bad")])
    change(
        inbox.where,
        "UPDATE work_item SET next_attempt_at = clock_timestamp()"
        " + CASE key WHEN 'due' THEN '-1 hour'::interval"
        " ELSE '1 hour'::interval END,"
        " dropped_at = CASE key WHEN 'gone' THEN clock_timestamp() END"
        " WHERE key <> 'dead' AND kind = 'job'",
    )
    with inbox.transaction() as conn:
        counts = {
            (each.kind, each.state): each for each in admin.count_items(conn)
        }
    assert counts[JOB, "pending"].items == 3
    oldest = counts[JOB, "pending"].oldest_due_seconds
    assert oldest is not None
    assert 3600 <= oldest < 3660
    dead = counts[JOB, "dead"]
    assert (dead.items, dead.oldest_due_seconds) == (1, None)
    assert counts[WORD, "pending"].items == 2
