"""A peer's bound on tasks in flight holds over all flows and runs."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import pytest

from moderate.inbox.slots import (
    free_slots,
    keep_slots,
    long_held,
    note_tasks,
    share_of,
    take_slots,
)
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import RACERS, change, race

API = "platform api"
LIFE = timedelta(minutes=5)
BOUND = 8


def take(
    inbox: Inbox,
    wanted: int,
    *,
    peer: str = API,
    bound: int = BOUND,
    life: timedelta = LIFE,
    holder: str = "test",
    share: int | None = None,
) -> Sequence[int]:
    with inbox.transaction() as conn:
        return take_slots(
            conn,
            peer=peer,
            holder=holder,
            wanted=wanted,
            bound=bound,
            life=life,
            share=share,
        )


def give(inbox: Inbox, ids: Sequence[int]) -> None:
    with inbox.transaction() as conn:
        free_slots(conn, ids)


def test_no_more_slots_are_given_than_the_peer_has(inbox: Inbox) -> None:
    """Rule 11."""
    assert len(take(inbox, 5)) == 5
    assert len(take(inbox, 5)) == 3
    assert take(inbox, 1) == []


def test_eight_runs_that_race_never_exceed_the_bound(inbox: Inbox) -> None:
    """Rule 11: the API's own pool hangs at the 16th task."""
    taken = race(*[partial(take, inbox, 3)] * RACERS)
    ids = [number for each in taken for number in each]
    assert len(ids) == len(set(ids)) == BOUND


def test_runs_that_take_and_free_in_turn_never_exceed_the_bound(
    inbox: Inbox,
) -> None:
    """Rule 11: seen from the inside of every step."""
    highest = []

    def work() -> None:
        for _ in range(10):
            mine = take(inbox, 2, bound=5)
            count = "SELECT count(*) AS n FROM peer_slot"
            highest.append(change(inbox.where, count)[0]["n"])
            give(inbox, mine)

    race(*[work] * 4)
    assert max(highest) <= 5
    assert len(take(inbox, 9, bound=5)) == 5


def test_slots_that_were_freed_are_given_again(inbox: Inbox) -> None:
    first = take(inbox, BOUND)
    give(inbox, first[:3])
    second = take(inbox, BOUND)
    assert len(second) == 3
    assert not set(second) & set(first)


def test_a_slot_is_free_when_its_time_has_passed(inbox: Inbox) -> None:
    """Rule 11: a worker that was killed can't keep it for ever."""
    lost = take(inbox, BOUND)
    assert take(inbox, 1) == []
    change(
        inbox.where,
        "UPDATE peer_slot SET expires_at = expires_at - %(life)s::interval"
        " WHERE id = %(id)s",
        life=LIFE,
        id=lost[0],
    )
    assert len(take(inbox, BOUND)) == 1


def test_who_frees_a_slot_that_has_passed_frees_nobody_elses(
    inbox: Inbox,
) -> None:
    """Rule 11: the late end of a task that was given up."""
    lost = take(inbox, BOUND, life=timedelta())
    taken = take(inbox, BOUND)
    assert len(taken) == BOUND
    give(inbox, lost)
    assert take(inbox, 1) == []


def test_peers_have_slots_of_their_own(inbox: Inbox) -> None:
    take(inbox, BOUND)
    assert len(take(inbox, BOUND, peer="another")) == BOUND


@pytest.mark.parametrize("wanted", [0, -1])
def test_who_wants_none_gets_none(inbox: Inbox, wanted: int) -> None:
    assert take(inbox, wanted) == []


def test_a_bound_that_was_lowered_holds_at_once(inbox: Inbox) -> None:
    take(inbox, BOUND)
    assert take(inbox, 1, bound=2) == []


def test_slots_are_not_taken_when_the_transaction_fails(
    inbox: Inbox,
) -> None:
    def fail() -> None:
        with inbox.transaction() as conn:
            take_slots(
                conn,
                peer=API,
                holder="test",
                wanted=BOUND,
                bound=BOUND,
                life=LIFE,
            )
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert len(take(inbox, BOUND)) == BOUND


def test_a_holder_with_its_share_leaves_the_rest_to_others(
    inbox: Inbox,
) -> None:
    """A long backlog must not keep a new user waiting for its end."""
    assert len(take(inbox, BOUND, holder="a")) == BOUND
    with inbox.transaction() as conn:
        conn.execute(
            b"DELETE FROM peer_slot WHERE id IN"
            b" (SELECT id FROM peer_slot ORDER BY id LIMIT 3)"
        )
    assert take(inbox, BOUND, holder="a", share=4) == []
    assert len(take(inbox, BOUND, holder="b", share=4)) == 3


def test_a_share_is_the_bound_divided_by_the_runs_at_work(
    inbox: Inbox,
) -> None:
    with inbox.transaction() as conn:
        assert share_of(conn, ["one", "two"], BOUND) == BOUND
        for number, kind in enumerate(("one", "two", "two", "other")):
            conn.execute(
                b"INSERT INTO batch (kind, run_key, state, run_id)"
                b" VALUES (%s, %s, 'running', 'run')",
                [kind, str(number)],
            )
        assert share_of(conn, ["one", "two"], BOUND) == 2
        assert share_of(conn, ["one", "two"], 2) == 1


def test_a_slot_that_is_kept_outlives_its_time(inbox: Inbox) -> None:
    """A task that is overdue may be at work still."""
    kept, passed = take(inbox, 2)
    with inbox.transaction() as conn:
        keep_slots(conn, [kept], timedelta(hours=1))
    change(
        inbox.where,
        "UPDATE peer_slot SET expires_at = expires_at - interval '6 minutes'",
    )
    assert len(take(inbox, BOUND)) == BOUND - 1
    assert passed


def test_long_held_slots_are_shown_with_their_tasks(inbox: Inbox) -> None:
    """Rule 11: whoever sees a task's end may free what a dead run held."""
    old, unknown, expired, young = take(inbox, 4)
    change(
        inbox.where,
        "UPDATE peer_slot SET taken_at = taken_at - interval '1 minute'"
        " WHERE id <> %(id)s",
        id=young,
    )
    with inbox.transaction() as conn:
        note_tasks(conn, {old: 71, expired: 72, young: 73})
        keep_slots(conn, [expired], timedelta(seconds=-1))
    with inbox.transaction() as conn:
        held = long_held(conn, API, timedelta(seconds=30), BOUND)
        others = long_held(conn, "another", timedelta(seconds=30), BOUND)
    assert held == {old: 71}
    assert not others
    assert unknown
