"""Cursors: typed values that move by compare-and-set.

A cursor is advanced in the transaction of the rows that it covers; who
loses the race rolls back everything. It never passes something open that is
not yet in the inbox.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from psycopg.types.json import Jsonb
from pydantic import BaseModel, ValidationError

from moderate.errors import PermanentError, TemporaryError
from moderate.inbox.database import Conn, fetch_one, run

FORGET = "moderate inbox forget-cursor"
"""The command that removes a cursor."""

Value = TypeVar("Value", bound=BaseModel)


class CursorMovedError(TemporaryError):
    """Another tick moved the cursor first; this one rolls back."""


class CorruptCursorError(PermanentError):
    """A cursor's stored value can't be read."""


@dataclass(frozen=True)
class Cursor(Generic[Value]):
    """A cursor as it was read; version 0 is one that was never written."""

    name: str
    value: Value
    version: int


def read_cursor(conn: Conn, name: str, initial: Value) -> Cursor[Value]:
    """Read the cursor ``name``, or ``initial`` if it was never written.

    Raises:
        CorruptCursorError: What is stored is not of ``initial``'s type.
    """
    row = fetch_one(conn, "read_cursor", name=name)
    if row is None:
        return Cursor(name, initial, version=0)
    try:
        value = type(initial).model_validate(row["value"])
    except ValidationError as error:
        msg = (
            f"cursor {name} holds {str(row['value'])[:80]!r}, which can't be"
            f" read as {type(initial).__name__}; `{FORGET} {name}` removes"
            " it, and everything is looked at again from the start"
        )
        raise CorruptCursorError(msg) from error
    return Cursor(name, value, int(row["version"]))


def cursor_age(conn: Conn, name: str) -> float | None:
    """Return how many seconds ago a cursor moved; ``None``: never."""
    row = fetch_one(conn, "cursor_age", name=name)
    return float(row["seconds"]) if row else None


def advance_cursor(
    conn: Conn, cursor: Cursor[Value], value: Value
) -> Cursor[Value]:
    """Set a cursor that nobody moved since it was read.

    Returns:
        The cursor as it is once the transaction is committed.

    Raises:
        CursorMovedError: Somebody did; let the transaction roll back.
    """
    stored = Jsonb(value.model_dump(mode="json"))
    if cursor.version == 0:
        moved = fetch_one(
            conn, "create_cursor", name=cursor.name, value=stored
        )
    else:
        moved = fetch_one(
            conn,
            "advance_cursor",
            name=cursor.name,
            value=stored,
            version=cursor.version,
        )
    if moved is None:
        msg = f"cursor {cursor.name} was moved by somebody else"
        raise CursorMovedError(msg)
    return Cursor(cursor.name, value, int(moved["version"]))


def forget_cursor(conn: Conn, name: str) -> bool:
    """Remove a cursor, so that its reader starts again from the start.

    Returns:
        ``False`` if there was none.
    """
    return bool(run(conn, "forget_cursor", name=name))
