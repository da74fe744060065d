"""What a Postgres server has, as its own catalogue says.

One query a database: it costs milliseconds, needs no rights on the tables,
and takes no lock that anybody would notice.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

from moderate.errors import PermanentError, TemporaryError
from moderate.flows.metadata_ingestion.plan import TABLE, Seen
from moderate.inbox.metadata_sources import Part
from moderate.settings import PostgresSettings

CONNECT_SECONDS = 5
STATEMENT_MILLISECONDS = 60_000
GONE = "3D000"
"""The state of SQL that says: there is no such database."""

MOST_NAMED = 20
"""Tables that a note names."""


class DatabaseGoneError(PermanentError):
    """There is no such database any more."""


class Catalogue:
    """The server's catalogue.

    Methods raise ``TemporaryError`` when a database can't be read.

    Args:
        settings: Where the server is.
        ignored: Regular expressions of databases to be left out.
    """

    def __init__(
        self, settings: PostgresSettings, ignored: Iterable[str]
    ) -> None:
        self._settings = settings
        self._ignored = tuple(map(re.compile, ignored))

    def listed(self) -> Mapping[str, str | None]:
        """Return all databases, with why one is left out, if it is."""
        with self._connected(self._settings.inbox_database) as conn:
            rows = conn.execute(_query("databases")).fetchall()
        return {row["name"]: self._why_not(row) for row in rows}

    def look(self, database: str) -> Seen:
        """Return what is in a database.

        Raises:
            DatabaseGoneError: It does not exist.
        """
        with self._connected(database) as conn:
            rows = conn.execute(_query("parts")).fetchall()
        return _seen(rows)

    def _why_not(self, row: DictRow) -> str | None:
        name = row["name"]
        if name == self._settings.inbox_database:
            return "is our own"
        for pattern in self._ignored:
            if pattern.fullmatch(name):
                return f"matches {pattern.pattern!r}"
        if row["is_template"]:
            return "is a template"
        if '"' in name:
            return "has a double quote, which names in OpenMetadata can't"
        if not row["may_connect"]:
            return "takes no connection of ours"
        return None

    @contextmanager
    def _connected(
        self, database: str
    ) -> Iterator[psycopg.Connection[DictRow]]:
        given = self._settings
        conninfo = make_conninfo(
            host=given.host,
            port=given.port,
            user=given.username,
            password=given.password.get_secret_value(),
            dbname=database,
            sslmode=given.sslmode,
            connect_timeout=CONNECT_SECONDS,
            application_name="moderate",
            # Names in definitions are then always written with their schema.
            options=f"-c statement_timeout={STATEMENT_MILLISECONDS}"
            " -c search_path= -c client_encoding=UTF8"
            " -c default_transaction_read_only=on",
        )
        try:
            with psycopg.connect(conninfo, row_factory=dict_row) as conn:
                yield conn
        except psycopg.Error as error:
            text = " ".join(str(error).split()) or type(error).__name__
            msg = f"database {database!r} can't be read: {text}"
            if error.sqlstate == GONE or _says_gone(text, database):
                raise DatabaseGoneError(msg) from error
            raise TemporaryError(msg) from error


def _says_gone(text: str, database: str) -> bool:
    # A refused connection has no state of SQL.
    return f'database "{database}" does not exist' in text


def _query(name: str) -> bytes:
    package = files("moderate.flows.metadata_ingestion")
    return package.joinpath(f"sql/{name}.sql").read_bytes()


def _seen(rows: Sequence[DictRow]) -> Seen:
    parts: dict[Part, str] = {}
    of_rows: dict[Part, str] = {}
    closed: list[str] = []
    for row in rows:
        path = row["path"]
        name = json.dumps(path, ensure_ascii=False) if path else ""
        part = Part(row["kind"], name)
        parts[part] = row["hash"]
        if row["kind"] != TABLE or row["rows_hash"] is None:
            continue
        if row["readable"]:
            of_rows[part] = row["rows_hash"]
        else:
            closed.append(".".join(path))
    return Seen(parts, of_rows, _of_closed(closed))


def _of_closed(closed: Sequence[str]) -> tuple[str, ...]:
    if not closed:
        return ()
    named = ", ".join(sorted(closed)[:MOST_NAMED])
    more = len(closed) - MOST_NAMED
    rest = f" and {more} more" if more > 0 else ""
    return (f"without a profile, for our role may not read: {named}{rest}",)
