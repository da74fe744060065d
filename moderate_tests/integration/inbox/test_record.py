"""Events become rows: once, all of them, whoever else is writing."""

from datetime import timedelta
from functools import partial

import pytest
from psycopg.errors import DivisionByZero

from moderate.inbox.database import Address, transaction
from moderate.inbox.model import NewItem, State
from moderate.inbox.recording import RECORD_CHUNK
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import (
    JOB,
    RACERS,
    WORD,
    change,
    look,
    race,
    record,
    words,
    words_of,
)


def born_dead(key: str, reason: str = "unreadable") -> NewItem:
    return NewItem(
        JOB, key, {"excerpt": "?"}, State.DEAD, reason, {"error": reason}
    )


def rows(where: Address) -> int:
    return int(change(where, "SELECT count(*) AS n FROM work_item")[0]["n"])


def test_a_new_event_is_a_pending_row_that_is_due(inbox: Inbox) -> None:
    payload = {"bucket": "b", "n": 1, "deep": [{"ü": None}]}
    record(inbox, "1", payload=payload)
    item = look(inbox, "1")
    assert item.payload == payload
    assert (item.state, item.dispatch, item.failures) == (State.PENDING, 0, 0)
    assert inbox.dispatch([JOB]) == 1


def test_an_event_seen_again_is_the_same_row_and_is_left_as_it_is(
    inbox: Inbox,
) -> None:
    record(inbox, "1", payload={"seen": "first"})
    first = look(inbox, "1")
    assert record(inbox, "1", payload={"seen": "again"}) == set()
    assert look(inbox, "1") == first


def test_only_new_events_are_reported_as_new(inbox: Inbox) -> None:
    record(inbox, "1", "2")
    assert record(inbox, "2", "3", "3") == {(JOB, "3")}
    assert rows(inbox.where) == 3


def test_the_same_key_of_two_kinds_is_two_items(inbox: Inbox) -> None:
    with inbox.transaction() as conn:
        new = inbox.record(conn, [NewItem(JOB, "1"), NewItem(WORD, "1")])
    assert new == {(JOB, "1"), (WORD, "1")}


def test_more_events_than_one_statement_carries_are_all_recorded(
    inbox: Inbox,
) -> None:
    keys = [str(number) for number in range(2 * RECORD_CHUNK + 1)]
    assert len(record(inbox, *keys)) == len(keys)
    assert rows(inbox.where) == len(keys)


def test_nothing_is_recorded_when_the_transaction_fails(inbox: Inbox) -> None:
    def fail() -> None:
        with inbox.transaction() as conn:
            inbox.record(conn, [NewItem(JOB, "1"), born_dead("2")])
            conn.execute("SELECT 1 / 0")

    with pytest.raises(DivisionByZero):
        fail()
    assert rows(inbox.where) == 0


def test_ticks_that_overlap_in_opposite_orders_record_each_event_once(
    inbox: Inbox,
) -> None:
    """Neither duplicates nor a deadlock, chunk after chunk.

    Case and punctuation order differently by language than by code point;
    two ticks must agree on one order wherever their chunks end.
    """
    stems = [f"{s}{n}" for n in range(RECORD_CHUNK) for s in ("a-", "B_")]
    news = race(
        *(
            partial(record, inbox, *(stems if i % 2 else stems[::-1])[i:])
            for i in range(RACERS)
        )
    )
    assert sum(map(len, news)) == len(stems) == rows(inbox.where)


def test_ticks_that_overlap_across_chunks_never_lock_each_other(
    inbox: Inbox,
) -> None:
    """A tick that holds late keys must not come to wait for early ones."""
    early = [f"a{number:05}" for number in range(RECORD_CHUNK)]
    late = [f"z{number:05}" for number in range(RECORD_CHUNK)]
    for round_ in range(3):
        up = [f"{round_}{key}" for key in (*early, *late)]
        down = [f"{round_}{key}" for key in (*late, *early)]
        a, b = race(partial(record, inbox, *up), partial(record, inbox, *down))
        assert len(a) + len(b) == len(up)


def test_an_event_born_dead_is_kept_with_its_reason_and_its_final_word(
    inbox: Inbox,
) -> None:
    """Rule 7: the end and its final word are one transaction."""
    with inbox.transaction() as conn:
        inbox.record(conn, [born_dead("1"), NewItem(JOB, "2")])
    dead = look(inbox, "1")
    assert (dead.state, dead.last_error) == (State.DEAD, "unreadable")
    assert dead.finished_at is not None
    (word,) = words_of(inbox, dead)
    assert word["error"] == "unreadable"
    assert len(words(inbox)) == 1


def test_an_event_born_dead_and_seen_again_has_one_final_word(
    inbox: Inbox,
) -> None:
    """Rule 7: never a second word, whatever the second reading says."""
    for reason in ("unreadable", "unreadable too"):
        with inbox.transaction() as conn:
            inbox.record(conn, [born_dead("1", reason)])
    (word,) = words_of(inbox, look(inbox, "1"))
    assert word["error"] == "unreadable"


def test_a_key_that_is_good_and_bad_in_one_read_is_told_as_it_is_stored(
    inbox: Inbox,
) -> None:
    """Rule 7: a final word only for what has ended."""
    for key, events in {
        "1": [NewItem(JOB, "1"), born_dead("1")],
        "2": [born_dead("2"), NewItem(JOB, "2")],
    }.items():
        with inbox.transaction() as conn:
            inbox.record(conn, events)
        item = look(inbox, key)
        ended = item.state == State.DEAD
        assert len(words_of(inbox, item)) == ended


def test_bad_events_do_not_delay_good_ones(inbox: Inbox) -> None:
    """One bad event harms nobody else: the good one is dispatched first."""
    with inbox.transaction() as conn:
        inbox.record(conn, [born_dead(f"bad {n}") for n in range(50)])
    record(inbox, "failing 1", "failing 2", "failing 3")
    for _ in range(4):
        inbox.dispatch([JOB])
        for batch in inbox.unbound([JOB]):
            lease = inbox.bind(batch.id, f"run {batch.run_key}")
            assert lease is not None
            lease.failed(lease.items[0], RuntimeError(), reason="broken")
    record(inbox, "good")
    assert inbox.dispatch([JOB]) == 1
    assert look(inbox, "good").state == State.DISPATCHED


def test_known_keys_are_those_that_are_items_already(inbox: Inbox) -> None:
    record(inbox, "1", "2")
    record(inbox, "3", kind=WORD)
    with inbox.transaction() as conn:
        assert inbox.known_keys(conn, JOB, ["2", "3", "4"]) == {"2"}


def test_rows_are_seen_by_nobody_before_the_commit(inbox: Inbox) -> None:
    with inbox.transaction() as conn:
        inbox.record(conn, [NewItem(JOB, "1")])
        assert inbox.dispatch([JOB]) == 0
    assert inbox.dispatch([JOB]) == 1


def test_times_are_the_servers_even_if_the_transaction_is_old(
    inbox: Inbox,
) -> None:
    """Rule 12: clock_timestamp(), not the start of the transaction."""
    with transaction(inbox.where) as conn:
        conn.execute("SELECT pg_sleep(0.05)")
        inbox.record(conn, [NewItem(JOB, "1")])
        row = conn.execute("SELECT now() AS start").fetchone()
    assert row is not None
    item = look(inbox, "1")
    started = row["start"]
    assert item.created_at - started >= timedelta(milliseconds=50)
    assert item.next_attempt_at - started >= timedelta(milliseconds=50)
