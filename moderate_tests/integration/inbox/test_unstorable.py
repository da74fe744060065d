"""What Postgres can't hold takes no other event along."""

import secrets
from typing import Any

import pytest

from moderate.inbox.model import NewItem, State
from moderate.inbox.storable import MAX_KEY_BYTES, UNSTORABLE
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import (
    JOB,
    SILENCE,
    batch_of,
    fall_silent,
    lease_of,
    look,
    record,
    words_of,
)

NASTY: list[dict[str, Any]] = [
    {"a": "NUL \0"},
    {"NUL \0": 1},
    {"a": ["high \ud800"]},
    {"a": "low \udfff"},
    {"a": float("nan")},
    {"a": float("inf")},
    {"a": "x" * 1_000_000},
]


def test_an_event_that_cannot_be_stored_is_dead_and_the_others_go_on(
    inbox: Inbox,
) -> None:
    """One bad event harms nobody else, and nothing is lost."""
    bad = [NewItem(JOB, f"bad {n}", each) for n, each in enumerate(NASTY)]
    good = [NewItem(JOB, "0 good"), NewItem(JOB, "z good")]
    with inbox.transaction() as conn:
        new = inbox.record(conn, [good[0], *bad, good[1]])
    assert len(new) == len(bad) + len(good)
    for each in bad:
        item = look(inbox, each.key)
        assert item.state == State.DEAD
        assert item.last_error
        assert len(words_of(inbox, item)) == 1
    assert inbox.dispatch([JOB]) == len(good)


@pytest.mark.parametrize(
    "key",
    ["NUL \0", "\ud800", secrets.token_hex(2 * MAX_KEY_BYTES)],
    ids=["nul", "surrogate", "long"],
)
def test_a_key_that_cannot_be_stored_is_the_same_row_each_time(
    inbox: Inbox, key: str
) -> None:
    """Twice is harmless, and reconcile knows that it has been seen."""
    ((_, stored),) = record(inbox, key)
    assert record(inbox, key) == set()
    assert look(inbox, stored).last_error == UNSTORABLE
    with inbox.transaction() as conn:
        assert inbox.known_keys(conn, JOB, [key, "other"]) == {key}


def test_the_longest_key_fits_the_index(inbox: Inbox) -> None:
    """Random, as Postgres would compress anything else."""
    key = secrets.token_hex(MAX_KEY_BYTES // 2)
    assert record(inbox, key) == {(JOB, key)}
    assert look(inbox, key).state == State.PENDING


def test_an_outcome_is_stored_whatever_characters_it_holds(
    inbox: Inbox,
) -> None:
    """An item must be able to end, or it would be done again for ever."""
    lease = lease_of(inbox, "1")
    ended = lease.done(
        lease.items[0], {"file": "\udcff", "mean": float("nan")}
    )
    assert ended.item.outcome == {"file": r"\udcff", "mean": "nan"}
    (word,) = words_of(inbox, ended.item)
    assert word["outcome"] == ended.item.outcome


def test_a_reason_is_stored_whatever_characters_it_holds(
    inbox: Inbox,
) -> None:
    lease = lease_of(inbox, "1")
    lease.failed(lease.items[0], RuntimeError(), reason="said \0 and \ud800")
    assert look(inbox, "1").last_error == r"said \x00 and \ud800"


def test_a_reason_to_wait_is_stored_whatever_characters_it_holds(
    inbox: Inbox,
) -> None:
    record(inbox, "target", kind="parcel")
    lease = lease_of(inbox, "1")
    lease.wait_for(lease.items[0], "parcel", "target", "needs \0")
    assert look(inbox, "1").last_error == r"needs \x00"


def test_the_outcome_of_a_cancelled_batch_is_stored_whatever_it_holds(
    inbox: Inbox,
) -> None:
    lease = lease_of(inbox, "1")
    batch = batch_of(inbox, lease)
    fall_silent(inbox, lease)
    assert inbox.cancel(batch, {"error": "\0"}, silence=SILENCE)
    assert look(inbox, "1").outcome == {"error": r"\x00"}
