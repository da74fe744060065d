"""Databases and objects get into OpenMetadata, and are paid for once.

Two databases and a prefix are made; both jobs bring them over, and then that
of databases is run once more: nothing has changed.
"""

import time
from collections.abc import Mapping
from typing import Any

import httpx
import psycopg
from rich.markup import escape
from rich.table import Table

from moderate.local.demo.part import Say
from moderate.local.demo.runs import TIMEOUT_SECONDS, Runs
from moderate.local.services.s3 import ASSETS_BUCKET
from moderate.local.stack import Stack

DATABASES: Mapping[str, str] = {
    "demo_buildings": (
        "CREATE TABLE buildings (id int PRIMARY KEY, city text,"
        " heated_area_m2 float8);"
        "COMMENT ON TABLE buildings IS 'Buildings of the demo';"
        "INSERT INTO buildings VALUES (1, 'Graz', 92.4), (2, 'León', 118);"
        "CREATE VIEW large AS SELECT * FROM buildings"
        " WHERE heated_area_m2 > 100;"
    ),
    "demo_meters": (
        "CREATE TABLE meters (id int PRIMARY KEY, building int, kind text);"
        "CREATE TABLE readings (meter int REFERENCES meters,"
        " at timestamptz, kwh float8);"
        "INSERT INTO meters VALUES (1, 1, 'electricity');"
        "INSERT INTO readings SELECT 1, now() - n * interval '1 hour', n"
        " FROM generate_series(1, 100) n;"
    ),
}
OBJECT = "demo/readings.csv"
CSV = "at,kwh\n" + "".join(
    f"2024-01-{n:02}T00:00:00,{n}.5\n" for n in range(1, 31)
)
POSTGRES, DATALAKE = "postgres_ingestion_job", "datalake_ingestion_job"


class Metadata:
    """The jobs are asked for, one after the other, as clicks would.

    Args:
        stack: The stack.
        say: Tells the person what happens.
    """

    def __init__(self, stack: Stack, say: Say) -> None:
        self._stack = stack
        self._say = say
        self._runs = Runs(stack.webserver.url)
        self._left = [POSTGRES, DATALAKE, POSTGRES]
        self._run = ""
        self._begun = 0.0
        self._writes = 0
        self._last = ""

    def begin(self) -> None:
        """Make the databases and the object, and start the first job."""
        for name, sql in DATABASES.items():
            self._make(name, sql)
        self._stack.s3.client().put_object(
            Bucket=ASSETS_BUCKET, Key=OBJECT, Body=CSV.encode()
        )
        self._say(
            f"  {len(DATABASES)} databases and the prefix of {OBJECT} are"
            " made; the jobs of the metadata ingestion are started"
        )
        self._next()

    def look(self) -> bool:
        """Start the next job when one is over; say when all are."""
        if not self._run:
            return True
        status = self._runs.ended(self._run)
        if status is None:
            return False
        writes = self._ledger() - self._writes
        self._last = (
            f"{status.lower()} in {time.monotonic() - self._begun:.1f} s,"
            f" {writes} writes"
        )
        self._run = ""
        if self._left:
            self._next()
            return False
        self._say(f"  the job of databases, run again: {self._last}")
        return True

    def table(self) -> Table:
        """Return what OpenMetadata has."""
        table = Table(
            "service",
            "table",
            "columns",
            "rows",
            title="Databases and objects are in OpenMetadata",
            caption=f"nothing changed, run again: {self._last}",
        )
        for service in self._control("overview")["services"]:
            for folder in service["folders"]:
                for leaf in folder["leaves"]:
                    if not leaf["deleted"]:
                        table.add_row(
                            escape(service["name"][:40]),
                            escape(leaf["name"]),
                            str(leaf["columns"]),
                            _rows(leaf["profile"]),
                        )
        return table

    def _next(self) -> None:
        self._writes = self._ledger()
        self._begun = time.monotonic()
        self._run = self._runs.launch(self._left.pop(0))

    def _ledger(self) -> int:
        return int(self._control("ledger?calls=false")["writes"])

    def _control(self, path: str) -> Any:
        answer = httpx.get(
            f"{self._stack.open_metadata.url}/_emulator/{path}",
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
        return answer.raise_for_status().json()

    def _make(self, name: str, sql: str) -> None:
        """Make a database, or leave the one of an earlier demo as it is."""
        postgres = self._stack.postgres
        with psycopg.connect(
            postgres.url("postgres"), autocommit=True
        ) as conn:
            found = conn.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [name]
            ).fetchone()
        if found:
            return
        postgres.create_database(name)
        with psycopg.connect(postgres.url(name), autocommit=True) as conn:
            conn.execute(sql.encode())


def _rows(profile: Any) -> str:
    if not profile or profile["rows"] is None:
        return ""
    return f"{profile['rows']:.0f}"
