"""How the framework reads a database, mended where it takes names for code.

Whoever may create a database, a schema or a function chooses its name. The
framework writes such names as they are into the URL of its connection, where
what follows a ``?`` are arguments (another host, which would get our
password), and into SQL, which our role would run.
"""

# ruff: noqa: SLF001 - the framework offers no other way to name a table

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import URL, TextClause, text

QUERIES = (
    "POSTGRES_GET_ALL_TABLE_PG_POLICY",
    "POSTGRES_GET_FUNCTIONS",
    "POSTGRES_GET_STORED_PROCEDURES",
)
"""All of the framework's that names are written into."""


def take_names_for_names(schemas: frozenset[str]) -> None:
    """Change the framework for good.

    Args:
        schemas: Those that a task is about; the others are not looked at.
    """
    from metadata.ingestion.connections.strategies import database
    from metadata.ingestion.source.database.postgres import metadata

    database.get_connection_url_common = url_of
    _bind(metadata)
    _only(metadata.PostgresSource, schemas)
    _call_as_sent(metadata)


def url_of(connection: Any) -> URL:
    """Return SQLAlchemy's URL of a connection, made of its parts.

    Args:
        connection: The framework's, to Postgres with a password.
    """
    from metadata.ingestion.connections.builders import get_password_secret

    host, _, port = connection.hostPort.rpartition(":")
    return URL.create(
        connection.scheme.value,
        username=connection.username,
        password=get_password_secret(connection).get_secret_value(),
        host=host.strip("[]"),
        port=int(port),
        database=connection.database,
    )


@dataclass(frozen=True)
class Bound:
    """A query that is given the names which would be written into it.

    Attributes:
        sql: With each name in braces and quotes.
    """

    sql: str

    def format(self, **names: str) -> TextClause:
        """Return the query with these names, as ``str.format`` would.

        Raises:
            ArgumentError: It has no place for one of them.
        """
        sql = self.sql
        for name in names:
            sql = sql.replace(f"'{{{name}}}'", f":{name}")
        return text(sql).bindparams(**names)


def _bind(source: Any) -> None:
    def as_it_is(query: str | TextClause) -> TextClause:
        return query if isinstance(query, TextClause) else text(query)

    source.text = as_it_is
    for name in QUERIES:
        setattr(source, name, Bound(getattr(source, name)))


def _only(source: Any, schemas: frozenset[str]) -> None:
    """Keep schemas from the framework for whose name it gives up."""
    names = source.get_raw_database_schema_names

    def wanted(reading: Any) -> Iterator[str]:
        return (name for name in names(reading) if name in schemas)

    source.get_raw_database_schema_names = wanted


def _call_as_sent(source: Any) -> None:
    """Call procedures, and tables with policies, what the server calls them.

    The framework filters procedures by their raw names, and looks for the
    tables' policies by them; some of those it has no qualified name for.
    """
    from metadata.ingestion.models.custom_basemodel_validation import (
        replace_separators,
    )
    from metadata.utils import fqn

    is_filtered = source.PostgresSource.is_stored_procedure_filtered

    def is_left_out(reading: Any, name: str) -> bool:
        return bool(is_filtered(reading, replace_separators(name)))

    def build(*names: str) -> str:
        # Only called for a table that has a policy.
        *above, table = names
        return str(fqn._build(*above, replace_separators(table)))

    source.PostgresSource.is_stored_procedure_filtered = is_left_out
    source.fqn = SimpleNamespace(**{**vars(fqn), "_build": build})
