"""The emulator's database: one SQLite file that survives a kill.

Everything runs in the event loop's thread: a statement takes microseconds,
less than handing it to another thread would. Of Postgres, which the real API
uses, two habits show to clients and are kept: a number that was taken from a
sequence is gone, also when the row was refused; and without an order, rows
come as they lie in the table, where an update moves a row to the end.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class UniqueViolationError(Exception):
    """A row with that value is there already."""


class Type(Enum):
    """What a column holds. Times are naive UTC in ISO format."""

    INTEGER = "INTEGER"
    TEXT = "TEXT"
    TIME = "TIME"
    JSON = "JSON"


@dataclass(frozen=True)
class Table:
    """A table; every one also has an ``id`` and its place in the heap."""

    name: str
    columns: Mapping[str, Type]
    unique: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()

    def type_of(self, column: str) -> Type | None:
        """The type of a column that clients may name, or None."""
        return Type.INTEGER if column == "id" else self.columns.get(column)

    def ddl(self) -> Iterator[str]:
        """The statements that create it where it is missing."""
        columns = "".join(
            f", {name} {kind.value}{' UNIQUE' * (name in self.unique)}"
            for name, kind in self.columns.items()
        )
        yield (
            f"CREATE TABLE IF NOT EXISTS {self.name} "
            f"(id INTEGER PRIMARY KEY, heap INTEGER NOT NULL{columns})"
        )
        for column in ("heap", *self.indexed):
            yield (
                f"CREATE INDEX IF NOT EXISTS {self.name}_{column} "
                f"ON {self.name} ({column})"
            )


USERS = Table(
    "usermeta",
    {
        "username": Type.TEXT,
        "created_at": Type.TIME,
        "trust_did": Type.TEXT,
        "meta": Type.JSON,
    },
    unique=("username", "trust_did"),
)
ASSETS = Table(
    "asset",
    {
        "uuid": Type.TEXT,
        "name": Type.TEXT,
        "description": Type.TEXT,
        "meta": Type.JSON,
        "created_at": Type.TIME,
        "access_level": Type.TEXT,
        "username": Type.TEXT,
    },
    unique=("uuid",),
)
OBJECTS = Table(
    "uploadeds3object",
    {
        "key": Type.TEXT,
        "tags": Type.JSON,
        "created_at": Type.TIME,
        "series_id": Type.TEXT,
        "sha256_hash": Type.TEXT,
        "proof_id": Type.TEXT,
        "meta": Type.JSON,
        "name": Type.TEXT,
        "description": Type.TEXT,
        "bucket": Type.TEXT,
        "etag": Type.TEXT,
        "location": Type.TEXT,
        "asset_id": Type.INTEGER,
    },
    unique=("key",),
    indexed=("asset_id", "proof_id"),
)
TASKS = Table(
    "longrunningtask",
    {
        "username_owner": Type.TEXT,
        "result": Type.JSON,
        "error": Type.TEXT,
        "created_at": Type.TIME,
        "finished_at": Type.TIME,
    },
)
JOBS = Table(
    "workflowjob",
    {
        "job_type": Type.TEXT,
        "arguments": Type.JSON,
        "results": Type.JSON,
        "created_at": Type.TIME,
        "finalised_at": Type.TIME,
        "creator_username": Type.TEXT,
    },
    indexed=("creator_username",),
)
TABLES = (USERS, ASSETS, OBJECTS, TASKS, JOBS)

SEQUENCES_DDL = (
    "CREATE TABLE IF NOT EXISTS sequences "
    "(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID"
)
NEXT_VALUE = (
    "INSERT INTO sequences VALUES (?, 1) "
    "ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value"
)
HEAP = "heap"


def now() -> str:
    """The time as the API writes it: UTC without saying so."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat()


class Storage:
    """Rows in tables, by dictionary.

    Args:
        path: The file; created when missing.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        # Without fsync at each commit: it has to survive the end of the
        # process, not of the machine.
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = NORMAL",
            "PRAGMA case_sensitive_like = OFF",
            SEQUENCES_DDL,
            *(line for table in TABLES for line in table.ddl()),
        ):
            self.execute(statement)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def execute(
        self, sql: str, values: Sequence[Any] = ()
    ) -> list[sqlite3.Row]:
        """Run one statement and fetch what it returns."""
        return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make many statements one; there must be no ``await`` inside."""
        with self._connection:
            self.execute("BEGIN IMMEDIATE")
            yield

    def insert(self, table: Table, values: Mapping[str, Any]) -> Row:
        """Add a row.

        Args:
            table: Where to.
            values: Its columns; those left out are null.

        Returns:
            The row as it is now stored.

        Raises:
            UniqueViolationError: A unique value is taken. The id is used up.
        """
        row = dict.fromkeys(table.columns) | dict(values)
        row_id = self._next(table.name)
        stored = {
            "id": row_id,
            "heap": self._next(HEAP),
            **{name: encode(table, name, row[name]) for name in row},
        }
        marks = ", ".join("?" * len(stored))
        try:
            self.execute(
                f"INSERT INTO {table.name} ({', '.join(stored)}) "  # noqa: S608
                f"VALUES ({marks})",
                tuple(stored.values()),
            )
        except sqlite3.IntegrityError as error:
            raise UniqueViolationError(str(error)) from error
        return {"id": row_id, **row}

    def update(self, table: Table, row_id: int, **values: Any) -> None:
        """Change columns of a row; it moves to the end of the heap."""
        stored = {
            name: encode(table, name, value) for name, value in values.items()
        }
        stored["heap"] = self._next(HEAP)
        changes = ", ".join(f"{name} = ?" for name in stored)
        self.execute(
            f"UPDATE {table.name} SET {changes} WHERE id = ?",  # noqa: S608
            (*stored.values(), row_id),
        )

    def delete(self, table: Table, row_id: int) -> None:
        """Remove a row."""
        self.execute(
            f"DELETE FROM {table.name} WHERE id = ?",  # noqa: S608
            (row_id,),
        )

    def get(self, table: Table, row_id: int) -> Row | None:
        """The row with that id, or None."""
        return self.one(table, "id = ?", row_id)

    def one(self, table: Table, where: str, *values: Any) -> Row | None:
        """The first row that fits, or None."""
        found = self.find(table, where, values, limit=1)
        return found[0] if found else None

    def find(
        self,
        table: Table,
        where: str = "TRUE",
        values: Sequence[Any] = (),
        *,
        order: str = HEAP,
        limit: int = -1,
        offset: int = 0,
    ) -> list[Row]:
        """The rows that fit, in the heap's order if not told otherwise."""
        columns = ", ".join(("id", *table.columns))
        rows = self.execute(
            f"SELECT {columns} FROM {table.name} WHERE {where} "  # noqa: S608
            f"ORDER BY {order} LIMIT ? OFFSET ?",
            (*values, limit, offset),
        )
        return [decode(table, row) for row in rows]

    def count(self, table: Table) -> int:
        """How many rows the whole table has."""
        sql = f"SELECT count(*) FROM {table.name}"  # noqa: S608
        (row,) = self.execute(sql)
        return int(row[0])

    def clear(self) -> None:
        """Empty everything and start all sequences again."""
        with self.transaction():
            for name in ("sequences", *(table.name for table in TABLES)):
                self.execute(f"DELETE FROM {name}")  # noqa: S608

    def _next(self, sequence: str) -> int:
        (row,) = self.execute(NEXT_VALUE, (sequence,))
        return int(row[0])


def encode(table: Table, column: str, value: Any) -> Any:
    """A value as its column stores it."""
    if value is not None and table.columns.get(column) is Type.JSON:
        return json.dumps(value)
    return value


def decode(table: Table, row: sqlite3.Row) -> Row:
    """A stored row as clients see it."""
    found: Row = dict(row)
    for column, kind in table.columns.items():
        if kind is Type.JSON and found[column] is not None:
            found[column] = json.loads(found[column])
    return found
