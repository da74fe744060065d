"""Cursors move by compare-and-set, in the transaction of their rows."""

from datetime import UTC, datetime
from functools import partial

import pytest
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict

from moderate.errors import PermanentError, TemporaryError
from moderate.inbox.cursors import (
    CorruptCursorError,
    Cursor,
    CursorMovedError,
    advance_cursor,
    forget_cursor,
    read_cursor,
)
from moderate.inbox.model import NewItem
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import (
    JOB,
    RACERS,
    change,
    race,
    record,
)

NAME = "users"


class Position(BaseModel):
    model_config = ConfigDict(frozen=True)

    after: str = ""
    since: datetime | None = None
    open_ids: tuple[int, ...] = ()


START = Position()


def read(inbox: Inbox) -> Cursor[Position]:
    with inbox.transaction() as conn:
        return read_cursor(conn, NAME, START)


def advance(inbox: Inbox, cursor: Cursor[Position], after: str) -> bool:
    """Do what a tick does: rows and cursor in one transaction."""
    try:
        with inbox.transaction() as conn:
            inbox.record(conn, [NewItem(JOB, after)])
            advance_cursor(conn, cursor, Position(after=after))
    except CursorMovedError:
        return False
    return True


def rows(inbox: Inbox) -> list[str]:
    found = change(inbox.where, "SELECT key FROM work_item ORDER BY id")
    return [row["key"] for row in found]


def test_a_cursor_that_was_never_written_is_at_its_start(
    inbox: Inbox,
) -> None:
    assert read(inbox) == Cursor(NAME, START, version=0)


def test_a_cursor_comes_back_as_it_was_written(inbox: Inbox) -> None:
    value = Position(
        after="ü",
        since=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        open_ids=(3, 1),
    )
    with inbox.transaction() as conn:
        advance_cursor(conn, read_cursor(conn, NAME, START), value)
    assert read(inbox).value == value


def test_a_cursor_moves_step_by_step(inbox: Inbox) -> None:
    versions = [read(inbox).version]
    for step in "abc":
        assert advance(inbox, read(inbox), step)
        assert read(inbox).value.after == step
        versions.append(read(inbox).version)
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("written", [False, True], ids=["first", "later"])
def test_of_two_ticks_that_read_the_same_position_one_moves_the_cursor(
    inbox: Inbox, *, written: bool
) -> None:
    """Rule 13: the loser rolls back everything."""
    if written:
        advance(inbox, read(inbox), "before")
    mine, theirs = read(inbox), read(inbox)
    before = rows(inbox)
    assert advance(inbox, theirs, "theirs")
    assert not advance(inbox, mine, "mine")
    assert rows(inbox) == [*before, "theirs"]
    assert read(inbox).value.after == "theirs"


@pytest.mark.parametrize("written", [False, True], ids=["first", "later"])
def test_of_eight_ticks_that_race_one_moves_the_cursor(
    inbox: Inbox, *, written: bool
) -> None:
    """Rule 13, with the transactions at the same time."""
    if written:
        advance(inbox, read(inbox), "before")
    cursor, before = read(inbox), rows(inbox)
    moved = race(
        *(partial(advance, inbox, cursor, f"{n}") for n in range(RACERS))
    )
    assert sum(moved) == 1
    winner = str(moved.index(True))
    assert rows(inbox) == [*before, winner]
    assert read(inbox).value.after == winner


def test_who_lost_the_race_may_try_again(inbox: Inbox) -> None:
    assert issubclass(CursorMovedError, TemporaryError)
    stale = read(inbox)
    advance(inbox, read(inbox), "theirs")
    assert not advance(inbox, stale, "mine")
    assert advance(inbox, read(inbox), "mine")


def test_a_cursor_that_was_forgotten_starts_again(inbox: Inbox) -> None:
    advance(inbox, read(inbox), "a")
    with inbox.transaction() as conn:
        assert forget_cursor(conn, NAME)
        assert not forget_cursor(conn, NAME)
    assert read(inbox).value == START
    assert advance(inbox, read(inbox), "b")


def test_a_tick_from_before_a_cursor_was_forgotten_does_not_move_it(
    inbox: Inbox,
) -> None:
    """Rule 13: it would skip what was to be looked at again."""
    advance(inbox, read(inbox), "far away")
    slow = read(inbox)
    with inbox.transaction() as conn:
        forget_cursor(conn, NAME)
    assert not advance(inbox, slow, "further away")
    assert advance(inbox, read(inbox), "near")
    assert not advance(inbox, slow, "further away")
    assert read(inbox).value.after == "near"


@pytest.mark.parametrize(
    "stored", [[1], None, "x", {"after": 3}, {"open_ids": "?"}]
)
def test_a_cursor_that_can_not_be_read_names_the_command_that_mends_it(
    inbox: Inbox, stored: object
) -> None:
    """And is left alone: starting over is a person's decision."""
    change(
        inbox.where,
        "INSERT INTO cursor (name, value) VALUES (%(name)s, %(value)s)",
        name=NAME,
        value=Jsonb(stored),
    )
    with pytest.raises(CorruptCursorError) as caught:
        read(inbox)
    text = str(caught.value)
    assert f"`moderate inbox forget-cursor {NAME}`" in text
    assert f"cursor {NAME} holds" in text
    assert "Position" in text
    assert isinstance(caught.value, PermanentError)


def test_cursors_of_other_names_are_left_alone(inbox: Inbox) -> None:
    advance(inbox, read(inbox), "a")
    with inbox.transaction() as conn:
        other = read_cursor(conn, "objects", START)
        advance_cursor(conn, other, Position(after="o"))
        forget_cursor(conn, "objects")
    assert read(inbox).value.after == "a"


def test_rows_are_not_lost_when_a_cursor_moves_past_them(
    inbox: Inbox,
) -> None:
    """Rule 13: both are there or neither is."""
    record(inbox, "older")
    assert advance(inbox, read(inbox), "newer")
    assert rows(inbox) == ["older", "newer"]
