"""Dagster's Postgres storage with a connection kept open in each process.

The stock storage opens a connection for every call, everywhere but in the
webserver; that is most of what it costs to create, look up or report on a
run. This one asks for what the webserver has. In ``dagster.yaml``::

    storage:
      custom:
        module: moderate.dagster_storage
        class: PooledPostgresStorage
        config:
          postgres_url:
            env: DAGSTER_POSTGRES_URL
"""

from collections.abc import Iterable
from typing import Any

import psycopg2
from dagster import DagsterInstance
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError

STATEMENT_TIMEOUT_MS = 30_000
"""How long one statement may take."""

RECYCLE_SECONDS = 300
"""Age from which a kept connection is replaced."""

MAX_OVERFLOW = 4
"""Connections of each of the three parts beyond the one that it keeps.

A call holds one for some milliseconds, so five serve the daemon's threads
(four that evaluate sensors, four that submit, and its loops) and a webserver
with many readers: who comes sixth waits for milliseconds, and gives up after
30 s (SQLAlchemy's ``pool_timeout``). The webserver sets pools of its own, as
large as ``--db-pool-max-overflow`` says.
"""


class PooledPostgresStorage(DagsterPostgresStorage):
    """Dagster's storage in Postgres, one open connection for each part."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> "PooledPostgresStorage":
        """Build the storage from ``dagster.yaml``."""
        stock = DagsterPostgresStorage.from_config_value(
            inst_data, config_value
        )
        pooled = cls(
            stock.postgres_url,
            should_autocreate_tables=stock.should_autocreate_tables,
            inst_data=inst_data,
        )
        pooled.keep_connections()
        return pooled

    def keep_connections(self) -> None:
        """Keep connections open, and replace those that a restart cut."""
        parts = (
            self._run_storage,
            self._event_log_storage,
            self._schedule_storage,
        )
        for part in parts:
            part.optimize_for_webserver(
                statement_timeout=STATEMENT_TIMEOUT_MS,
                pool_recycle=RECYCLE_SECONDS,
                max_overflow=MAX_OVERFLOW,
            )
        for engine in _engines(parts):
            event.listen(engine, "checkout", _refuse_cut_connection)


def let_go(instance: DagsterInstance) -> None:
    """Close the connections of an instance; it opens others when it needs to.

    Before a fork, as a connection that two processes have serves neither.
    """
    parts = (
        instance.run_storage,
        instance.event_log_storage,
        instance.schedule_storage,
    )
    for part in parts:
        if isinstance(engine := getattr(part, "_engine", None), Engine):
            engine.dispose()


def _engines(parts: Iterable[Any]) -> Iterable[Engine]:
    # The only private name that is touched here; the end-to-end tests restart
    # Postgres, so an upgrade that moves it is noticed.
    return [part._engine for part in parts]  # noqa: SLF001


def _refuse_cut_connection(
    connection: Any, _record: object, _proxy: object
) -> None:
    """Ask before use; SQLAlchemy then connects anew.

    Source: SQLAlchemy, "Disconnect Handling - Pessimistic".
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        raise DisconnectionError from error
