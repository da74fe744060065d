"""The inbox's schema: numbered migrations, and a check at start.

A migration is a file ``sql/migrations/NNNN_name.sql``, applied once, in
order, in a transaction of its own. Files are never edited after a release.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import (
    DuplicateDatabase,
    InsufficientPrivilege,
    UndefinedTable,
    UniqueViolation,
)
from psycopg.sql import SQL, Identifier

from moderate.errors import PermanentError
from moderate.inbox.database import (
    Address,
    Conn,
    InboxUnavailableError,
    bounded,
    first_line,
    transaction,
)

MEND = "moderate inbox migrate"
"""The command that brings the schema up to date."""

_LOCK = 0x6D6F6465  # "mode": one migration at a time
_VERSION_TABLE = """
CREATE TABLE IF NOT EXISTS schema_version (
    number     integer PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


class StaleSchemaError(PermanentError):
    """The inbox's schema is not the one that this version works with."""


@dataclass(frozen=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    sql: str


@cache
def migrations() -> Sequence[Migration]:
    """Return all migrations, in order."""
    folder = files("moderate.inbox").joinpath("sql/migrations")
    found = [
        Migration(int(file.name.split("_", 1)[0]), file.name, file.read_text())
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(found, key=lambda migration: migration.number)


def migrate(where: Address) -> Sequence[str]:
    """Create the database if it is missing and apply what is missing.

    Harmless when repeated, and when several do it at once.

    Returns:
        The names of the migrations that were applied.

    Raises:
        InboxUnavailableError: The server can't be reached.
        PermanentError: The role may not create what is missing.
    """
    try:
        if not _exists(where):
            _create_database(where)
        return _apply_missing(where)
    except psycopg.OperationalError as error:
        msg = f"the inbox can't be migrated: {first_line(error)}"
        raise InboxUnavailableError(msg) from error
    except InsufficientPrivilege as error:
        msg = f"the role can't migrate the inbox: {first_line(error)}"
        raise PermanentError(msg) from error


def _apply_missing(where: Address) -> Sequence[str]:
    with psycopg.connect(where.conninfo, autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        conn.execute(_VERSION_TABLE)
        row = conn.execute(
            "SELECT coalesce(max(number), 0) FROM schema_version"
        ).fetchone()
        current = row[0] if row else 0
        todo = [step for step in migrations() if step.number > current]
        for step in todo:
            with conn.transaction():
                conn.execute(step.sql.encode())
                conn.execute(
                    "INSERT INTO schema_version (number, name)"
                    " VALUES (%s, %s)",
                    [step.number, step.name],
                )
        return [step.name for step in todo]


def _create_database(where: Address) -> None:
    """Create the inbox's database by way of the one named ``postgres``."""
    name = Identifier(str(conninfo_to_dict(where.conninfo)["dbname"]))
    entry = make_conninfo(where.conninfo, dbname="postgres")
    # Whatever encoding the server has by default: events are Unicode.
    create = SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0")
    with psycopg.connect(entry, autocommit=True) as conn:
        try:
            conn.execute(create.format(name))
        except (DuplicateDatabase, UniqueViolation):
            return  # somebody else was first, or just as fast


def _exists(where: Address) -> bool:
    try:
        psycopg.connect(bounded(where.conninfo)).close()
    except psycopg.OperationalError as error:
        if "does not exist" in str(error):
            return False
        raise
    return True


def schema_version(conn: Conn) -> int:
    """Return the number of the last migration applied; 0 for none."""
    try:
        with conn.transaction():
            row = conn.execute(
                "SELECT coalesce(max(number), 0) AS number"
                " FROM schema_version"
            ).fetchone()
    except UndefinedTable:
        return 0
    return int(row["number"]) if row else 0


@cache
def require_current_schema(where: Address) -> None:
    """Refuse to work on a schema that is not this version's.

    Asked once per process and address, at the start.

    Raises:
        StaleSchemaError: Names both versions and the command that mends it.
        InboxUnavailableError: The database can't be reached.
    """
    with transaction(where) as conn:
        found = schema_version(conn)
    wanted = migrations()[-1].number
    if found < wanted:
        msg = (
            f"the inbox's schema is at version {found}, this release needs"
            f" {wanted}: run `{MEND}`"
        )
        raise StaleSchemaError(msg)
    if found > wanted:
        msg = (
            f"the inbox's schema is at version {found}, newer than the"
            f" {wanted} of this release: run the newer release"
        )
        raise StaleSchemaError(msg)
