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
from moderate.flows.metadata_ingestion.names import is_nameless
from moderate.flows.metadata_ingestion.plan import SCHEMA, TABLE, Seen
from moderate.inbox.metadata_sources import Part
from moderate.settings import PostgresSettings

CONNECT_SECONDS = 5
STATEMENT_MILLISECONDS = 60_000
MOST_NAMED = 20
"""Tables or schemas that a note names."""

NAMELESS = (
    "its name has a double quote, `>`, `::` or a control character, which"
    " names in OpenMetadata can't"
)


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
        try:
            with self._connected(database) as conn:
                return _seen(conn.execute(_query("parts")).fetchall())
        except TemporaryError as error:
            # Not by the server's words: they are in its own language.
            if database not in self.listed():
                raise DatabaseGoneError(str(error)) from error
            raise

    def _why_not(self, row: DictRow) -> str | None:
        name = row["name"]
        if name == self._settings.inbox_database:
            return "is our own"
        for pattern in self._ignored:
            if pattern.fullmatch(name):
                return f"matches {pattern.pattern!r}"
        if row["is_template"]:
            return "is a template"
        if is_nameless(name):
            return NAMELESS
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
            raise TemporaryError(msg) from error


def _query(name: str) -> bytes:
    package = files("moderate.flows.metadata_ingestion")
    return package.joinpath(f"sql/{name}.sql").read_bytes()


def _seen(rows: Sequence[DictRow]) -> Seen:
    parts: dict[Part, str] = {}
    of_rows: dict[Part, str] = {}
    closed: list[str] = []
    nameless: list[str] = []
    for row in rows:
        path = row["path"]
        if path and is_nameless(path[0]):
            if row["kind"] == SCHEMA:
                nameless.append(path[0])
            continue
        name = json.dumps(path, ensure_ascii=False) if path else ""
        part = Part(row["kind"], name)
        parts[part] = row["hash"]
        if row["kind"] != TABLE or row["rows_hash"] is None:
            continue
        if row["readable"]:
            of_rows[part] = row["rows_hash"]
        else:
            closed.append(".".join(path))
    return Seen(
        parts,
        of_rows,
        notes=_note("without a profile, for our role may not read", closed),
        left_out=_note(f"left out, for {NAMELESS}", nameless),
    )


def _note(why: str, names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    named = ", ".join(sorted(names)[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    rest = f" and {more} more" if more > 0 else ""
    return (f"{why}: {named}{rest}",)
