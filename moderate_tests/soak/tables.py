"""Databases that change, and what OpenMetadata has of them."""

from collections.abc import Mapping
from contextlib import suppress
from random import Random

import httpx
import psutil
import psycopg
from psycopg import sql

from moderate.local.demo.runs import ENDED, Runs
from moderate.local.stack import Stack
from moderate_tests.e2e.webserver import Run, WebserverUI
from moderate_tests.soak.ledger import Shape, TableFacts

DATABASES = ("soak_meters", "soak_sites")
JOB = "postgres_ingestion_job"
TIMEOUT_SECONDS = 10.0
MOST_ROWS = 50
MOST_TABLES = 25
"""Of a database; then tables are dropped rather than made."""

ENDED_BY_DAGSTER = {"dagster/max_runtime": "90"}
"""Seconds. A run whose process was killed is noticed by Kubernetes; the
launcher of processes can't tell, and would count it as at work for ever."""

COLUMNS = """SELECT c.relname,
       (SELECT count(*) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
  FROM pg_class c WHERE c.relkind = 'r'
   AND c.relnamespace = 'public'::regnamespace ORDER BY 1"""


class Tables:
    """Tables that come, change and go.

    Args:
        stack: Whose Postgres they are in.
        random: Makes the choices.
    """

    def __init__(self, stack: Stack, random: Random) -> None:
        self._stack = stack
        self._random = random
        self._runs = Runs(stack.webserver.url)
        self._ui = WebserverUI(stack.webserver.url)
        self._made = 0
        self._known: set[str] = set()
        for database in DATABASES:
            stack.postgres.create_database(database)

    def change(self) -> None:
        """Make, alter, fill or drop a table.

        Raises:
            psycopg.Error: The database did not confirm it.
        """
        database = self._random.choice(DATABASES)
        with self._connect(database) as conn:
            names = [str(row[0]) for row in conn.execute(COLUMNS)]
            what = self._random.choices(
                [self._make, self._widen, self._fill, self._drop],
                [6, 1, 4, 1 if len(names) < MOST_TABLES else 6],
            )[0]
            what(conn, self._random.choice(names) if names else "")

    def ingest(self) -> str:
        """Ask for a run of the ingestion, as a click does.

        Returns:
            The run's id.

        Raises:
            RuntimeError, httpx.HTTPError, KeyError: It did not start.
        """
        return self._runs.launch(JOB, tags=ENDED_BY_DAGSTER)

    def is_over(self, run_id: str) -> bool:
        """Whether a run has ended, however it did.

        One whose process is gone has, whatever Dagster believes: so would
        Kubernetes find.
        """
        status = self._runs.status(run_id)
        if status != "STARTED":
            return status in ENDED
        pid = self._ui.process_of(Run(run_id, JOB, status, "", {}))
        return pid is not None and not psutil.pid_exists(pid)

    def facts(self) -> list[TableFacts]:
        """Return what each table is, and what OpenMetadata has of it.

        Raises:
            psycopg.Error, httpx.HTTPError: One of them does not answer.
        """
        should = self._should()
        held = self._held()
        self._known |= should.keys() | held.keys()
        return [
            TableFacts(name, should.get(name), held.get(name, []))
            for name in sorted(self._known)
        ]

    def _make(self, conn: psycopg.Connection, _: str) -> None:
        self._made += 1
        name = f"t{self._made}"
        create = "CREATE TABLE {} (id int PRIMARY KEY, at timestamptz)"
        # One whose answer is lost is there all the same: its name is taken.
        with suppress(psycopg.errors.DuplicateTable):
            conn.execute(sql.SQL(create).format(sql.Identifier(name)))
            self._fill(conn, name)

    def _widen(self, conn: psycopg.Connection, table: str) -> None:
        alter = "ALTER TABLE {} ADD COLUMN {} float8"
        column = f"kwh_{self._random.randrange(10**6)}"
        if table:
            names = (sql.Identifier(table), sql.Identifier(column))
            conn.execute(sql.SQL(alter).format(*names))

    def _fill(self, conn: psycopg.Connection, table: str) -> None:
        insert = """INSERT INTO {0} (id, at) SELECT n + (
            SELECT coalesce(max(id), 0) FROM {0}), now()
            FROM generate_series(1, %s) n"""
        if table:
            query = sql.SQL(insert).format(sql.Identifier(table))
            conn.execute(query, [self._random.randint(1, MOST_ROWS)])

    def _drop(self, conn: psycopg.Connection, table: str) -> None:
        if table:
            drop = sql.SQL("DROP TABLE {}").format(sql.Identifier(table))
            conn.execute(drop)

    def _should(self) -> dict[str, Shape]:
        found: dict[str, Shape] = {}
        for database in DATABASES:
            with self._connect(database) as conn:
                for name, columns in conn.execute(COLUMNS).fetchall():
                    count = sql.SQL("SELECT count(*) FROM {}").format(
                        sql.Identifier(name)
                    )
                    (rows,) = conn.execute(count).fetchone() or (None,)
                    found[f"{database}.{name}"] = Shape(columns, rows)
        return found

    def _held(self) -> Mapping[str, list[Shape]]:
        url = f"{self._stack.open_metadata.url}/_emulator/overview"
        answer = httpx.get(url, timeout=TIMEOUT_SECONDS, trust_env=False)
        found: dict[str, list[Shape]] = {}
        for service in answer.raise_for_status().json()["services"]:
            for folder in service["folders"]:
                database = folder["full_name"].split(".")[1]
                for leaf in folder["leaves"]:
                    if database in DATABASES and not leaf["deleted"]:
                        rows = (leaf["profile"] or {}).get("rows")
                        shape = Shape(
                            leaf["columns"],
                            None if rows is None else int(rows),
                        )
                        name = f"{database}.{leaf['name']}"
                        found.setdefault(name, []).append(shape)
        return found

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            self._stack.postgres.url(database), connect_timeout=3
        )
