"""The metadata ingestion beside the framework as it is used by default.

``python -m benchmarks metadata``; about a quarter of an hour. Both sides have
the same databases and the same emulator. By default means: one process an op,
each of which imports the framework and runs one workflow, two at a time.
The prefix of 2 GB is left out unless ``BENCH_LARGE=1``. ``BENCH_ONLY`` names
the parts to measure, comma separated: cold, one-of-many, listed, large.
"""

import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.report import Row
from benchmarks.scratch import scratch
from moderate.inbox.migrate import migrate
from moderate.local.ports import free_port
from moderate.local.services.open_metadata import OpenMetadata
from moderate.local.services.postgres import Postgres
from moderate.local.services.s3 import ASSETS_BUCKET, S3
from moderate.resources import inbox_address
from moderate.settings import load_settings

DATABASES, TABLES = 12, 10
MANY_TABLES = 1_000
LISTED, CHANGED = 200, 10
LAKE_BYTES = 2_000_000_000
AT_ONCE = 2

# The run's own process, as a deployment starts one, without the time that
# its interpreter and imports of Dagster take (they are the same for stock).
_OURS = """
import json, resource, sys, time
from dagster import DagsterInstance
from moderate.definitions import build_defs

job = build_defs().resolve_job_def(f"{sys.argv[1]}_ingestion_job")
with DagsterInstance.ephemeral() as instance:
    begun = time.perf_counter()
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    wall = time.perf_counter() - begun
peaks = [
    event.step_output_data.metadata["peak MiB"].value
    for event in result.all_events
    if event.is_successful_output
    and "peak MiB" in event.step_output_data.metadata
]
print(json.dumps([wall, result.success, max(peaks, default=0)]))
"""
_STOCK = """
import sys, warnings
warnings.simplefilter("ignore")
import dagster
from metadata.workflow.metadata import MetadataWorkflow
from metadata.workflow.profiler import ProfilerWorkflow
import json, os

step, database = sys.argv[1:]
server = {
    "hostPort": f"http://127.0.0.1:{os.environ['OPEN_METADATA_PORT']}/api",
    "authProvider": "openmetadata",
    "securityConfig": {"jwtToken": os.environ["OPEN_METADATA_TOKEN"]},
    "enableVersionValidation": False,
}
pipeline = {"type": "DatabaseMetadata"} if step == "metadata" else {
    "type": "Profiler"
}
pipeline["schemaFilterPattern"] = {"excludes": ["^information_schema$"]}
config = {
    "source": {
        "type": "postgres",
        "serviceName": f"stock-{database}",
        "serviceConnection": {"config": {
            "type": "Postgres",
            "scheme": "postgresql+psycopg2",
            "username": os.environ["POSTGRES_USERNAME"],
            "authType": {"password": os.environ["POSTGRES_PASSWORD"]},
            "hostPort": f"127.0.0.1:{os.environ['POSTGRES_PORT']}",
            "database": database,
        }},
        "sourceConfig": {"config": pipeline},
    },
    "sink": {"type": "metadata-rest", "config": {}},
    "workflowConfig": {"openMetadataServerConfig": server},
}
if step == "profile":
    config["processor"] = {"type": "orm-profiler", "config": {}}
workflow = {"metadata": MetadataWorkflow, "profile": ProfilerWorkflow}[step]
running = workflow.create(config)
running.execute()
running.raise_from_status()
"""


@dataclass(frozen=True)
class Cost:
    """What something took.

    Attributes:
        wall: Seconds on the clock, from the process's begin.
        cpu: Seconds of processors, of all processes.
        run: Seconds of the run in it, if it has one.
        peak: MiB of the largest ingestion.
    """

    wall: float
    cpu: float
    run: float = 0.0
    peak: float = 0.0


@dataclass(frozen=True)
class Bench:
    """The servers, and an environment for both sides."""

    postgres: Postgres
    s3: S3
    server: OpenMetadata
    environment: dict[str, str]

    def ours(self, flow: str, **settings: str) -> Cost:
        """Run our job in a process of its own."""
        # The fork server ends with the run, as a child of nobody: all
        # processes are counted by their cgroup's successor, the reaper.
        begun, before = time.perf_counter(), _cpu()
        done = subprocess.run(
            [sys.executable, "-c", _REAPER, "-c", _OURS, flow],
            env=self.environment | settings,
            check=True,
            capture_output=True,
            text=True,
        )
        wall = time.perf_counter() - begun
        run, success, peak = json.loads(done.stdout.splitlines()[-1])
        if not success:
            raise RuntimeError(done.stderr[-4000:])
        return Cost(wall, _cpu() - before, run, peak)

    def stock(self, databases: Sequence[str]) -> Cost:
        """Run the framework's workflows, one process an op."""

        def op(step: str, database: str) -> None:
            subprocess.run(
                [sys.executable, "-c", _STOCK, step, database],
                env=self.environment,
                check=True,
                capture_output=True,
            )

        def chain(database: str) -> None:
            op("metadata", database)
            op("profile", database)

        begun, before = time.perf_counter(), _cpu()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(chain, databases))
        return Cost(time.perf_counter() - begun, _cpu() - before)

    def ledger(self) -> Any:
        url = f"{self.server.url}/_emulator/ledger"
        found = httpx.get(url, trust_env=False, timeout=60).json()
        httpx.delete(url, trust_env=False)
        return found

    def sql(self, database: str, text: str) -> None:
        url = self.postgres.url(database)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(text.encode())

    def databases(self, prefix: str, count: int, tables: int) -> list[str]:
        """Create databases of some tables with some rows."""
        first = f"{prefix}000"
        self.postgres.create_database(first)
        self.sql(
            first,
            "".join(
                f"CREATE TABLE t{n} (id int PRIMARY KEY, name text, at"
                f" timestamptz, value float8, kind varchar(20));"
                f"INSERT INTO t{n} SELECT g, 'n' || g, now(), random(), 'k'"
                " FROM generate_series(1, 100) g;"
                for n in range(tables)
            ),
        )
        names = [f"{prefix}{n:03}" for n in range(count)]
        for name in names[1:]:
            self.postgres.create_database(name, template=first)
        return names

    def drop(self, names: Sequence[str]) -> None:
        for name in names:
            self.postgres.drop_database(name)


# Waits for all that its child leaves behind, so that it is counted.
_REAPER = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
code = subprocess.run([sys.executable, *sys.argv[1:]]).returncode
try:
    while True:
        os.wait()
except ChildProcessError:
    sys.exit(code)
"""


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def _bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        postgres = stack.enter_context(
            Postgres(
                folder / "postgres",
                port=free_port(),
                password=secrets.token_urlsafe(),
                durable=False,
            )
        )
        s3 = stack.enter_context(
            S3(
                folder / "s3",
                port=free_port(),
                access_key="bench-access-key",
                secret_key=secrets.token_urlsafe(),
            )
        )
        server = stack.enter_context(
            OpenMetadata(
                folder / "open-metadata",
                port=free_port(),
                secret=secrets.token_urlsafe(),
            )
        )
        settings = {
            **postgres.client_environment(),
            **s3.client_environment(),
            **server.client_environment(),
            "LOG_LEVEL": "ERROR",
        }
        migrate(inbox_address(load_settings(settings)))
        yield Bench(postgres, s3, server, {**os.environ, **settings})


def _cold_and_unchanged(bench: Bench) -> Iterator[Row]:
    names = bench.databases("cold", DATABASES, TABLES)
    ours = bench.ours("postgres")
    bench.ledger()
    again = bench.ours("postgres")
    writes = bench.ledger()["writes"]
    stock = bench.stock(names)
    bench.drop(names)
    yield Row(
        f"{DATABASES} databases of {TABLES} tables, cold",
        f"{ours.cpu:.0f} s CPU ({stock.cpu / ours.cpu:.1f} times less),"
        f" {ours.wall:.0f} s wall ({stock.wall / ours.wall:.1f} times less)",
        "2.5 times less CPU, 4 times less wall",
        f"stock, one process an op, {AT_ONCE} at a time:"
        f" {stock.cpu:.0f} s CPU, {stock.wall:.0f} s wall",
    )
    yield Row(
        "the same again, nothing changed",
        f"{again.run:.1f} s ({again.wall:.1f} s with the process's start),"
        f" {again.cpu:.1f} s CPU, {writes} writes",
        "5 s, 0 writes",
    )


def _one_of_many(bench: Bench) -> Iterator[Row]:
    (name,) = bench.databases("many", 1, MANY_TABLES)
    first = bench.ours("postgres")
    bench.sql(name, "ALTER TABLE t500 ADD COLUMN more text")
    bench.ledger()
    ours = bench.ours("postgres")
    rows = bench.ledger()["rows"]
    bench.drop([name])
    yield Row(
        f"1 table of {MANY_TABLES:,} changed",
        f"{ours.wall:.1f} s, {rows['table']} table in the bulk PUT",
        "30 s, 1 table",
        f"the first time, all of them: {first.wall:.0f} s",
    )


def _listed(bench: Bench) -> Iterator[Row]:
    names = bench.databases("list", LISTED, 1)
    bench.ours("postgres")
    for name in names[:CHANGED]:
        bench.sql(name, "ALTER TABLE t0 ADD COLUMN more text")
    ours = bench.ours("postgres")
    for name in names[:CHANGED]:
        bench.sql(name, "ALTER TABLE t0 ADD COLUMN again text")
    # The others are not even looked at.
    chosen = "|".join(names[:CHANGED])
    alone = bench.ours(
        "postgres", METADATA_IGNORED_DATABASES=f"(?!({chosen})$).*"
    )
    bench.drop(names)
    yield Row(
        f"{LISTED} databases, {LISTED - CHANGED} unchanged",
        f"{ours.wall:.1f} s, {ours.cpu:.0f} s CPU",
        f"cost of the {CHANGED}",
        f"{CHANGED} databases, all changed: {alone.wall:.1f} s,"
        f" {alone.cpu:.0f} s CPU",
    )


def _large(bench: Bench) -> Iterator[Row]:
    size = _fill_lake(bench.s3)
    ours = bench.ours("datalake")
    yield Row(
        f"a prefix of {size / 1e9:.1f} GB of CSV and Parquet",
        f"{ours.peak:.0f} MiB at the peak, {ours.wall:.0f} s",
        "1 GB",
    )


def _fill_lake(s3: S3) -> int:
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv, parquet  # noqa: PLC0415

    chance = np.random.default_rng(1)
    total = 0
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as name:
        for number, columns in enumerate((458, 50, 50)):
            path = Path(name, f"{number}.csv")
            table = pa.table(
                {
                    f"meter_{n}": chance.random(20_000).round(6)
                    for n in range(columns)
                }
            )
            with path.open("wb") as file:
                while file.tell() < LAKE_BYTES / 4:
                    csv.write_csv(table, file)
            total += _store(s3, path, "large")
        path = Path(name, "3.parquet")
        table = pa.table(
            {f"meter_{n}": chance.random(500_000) for n in range(125)}
        )
        parquet.write_table(table, path, compression="none")
        total += _store(s3, path, "large")
    return total


def _store(s3: S3, path: Path, prefix: str) -> int:
    s3.client().upload_file(str(path), ASSETS_BUCKET, f"{prefix}/{path.name}")
    size = path.stat().st_size
    path.unlink()
    return size


PARTS: Mapping[str, Callable[[Bench], Iterator[Row]]] = {
    "cold": _cold_and_unchanged,
    "one-of-many": _one_of_many,
    "listed": _listed,
    "large": _large,
}


def _chosen() -> Sequence[str]:
    if only := os.environ.get("BENCH_ONLY"):
        return only.split(",")
    large = os.environ.get("BENCH_LARGE")
    return [name for name in PARTS if large or name != "large"]


def measure() -> Sequence[Row]:
    """Measure all of the table."""
    rows: list[Row] = []
    with _bench() as bench:
        for name in _chosen():
            print(f"measuring metadata: {name} …", file=sys.stderr)
            for row in PARTS[name](bench):
                print(f"{row.what}: {row.measured}", file=sys.stderr)
                rows.append(row)
    return rows
