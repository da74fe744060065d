"""The service with sources of its own and an OpenMetadata server."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import active_children
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from dagster import DagsterInstance, ExecuteInProcessResult

from moderate.definitions import build_defs
from moderate.flows.metadata_ingestion.names import mapping_key
from moderate.inbox.metadata_sources import Flow, MetadataSources
from moderate.local.services.open_metadata import OpenMetadata
from moderate.local.services.postgres import Postgres
from moderate.local.services.s3 import ASSETS_BUCKET, S3
from moderate.resources import inbox_address
from moderate.settings import process_settings

SHOP = """
CREATE SCHEMA sales;
COMMENT ON SCHEMA sales IS 'what we sell';
CREATE TABLE sales.customers (id int PRIMARY KEY, name text NOT NULL);
COMMENT ON TABLE sales.customers IS 'who buys';
CREATE TABLE sales.orders (
    id int PRIMARY KEY,
    customer_id int REFERENCES sales.customers,
    amount numeric(10, 2),
    at timestamptz DEFAULT now());
CREATE VIEW sales.totals AS
    SELECT customer_id, sum(amount) AS total FROM sales.orders GROUP BY 1;
CREATE FUNCTION sales.double(int) RETURNS int LANGUAGE sql AS
    'SELECT $1 * 2';
INSERT INTO sales.customers SELECT n, 'name ' || n
  FROM generate_series(1, 50) n;
INSERT INTO sales.orders SELECT n, n % 50 + 1, n
  FROM generate_series(1, 200) n;
"""
SHOP_TABLES = 3


@dataclass
class World:
    """One service, its Postgres server, its bucket, its OpenMetadata."""

    instance: DagsterInstance
    postgres: Postgres
    s3: S3
    server: OpenMetadata
    prefix: str
    created: list[str] = field(default_factory=list)

    def database(self, name: str, sql: str = SHOP) -> str:
        """Create a database; what it is called begins with our prefix."""
        full = f"{self.prefix}{name}"
        self.postgres.create_database(full)
        self.created.append(full)
        self.sql(full, sql)
        return full

    def drop(self, name: str) -> None:
        self.postgres.drop_database(name)
        self.created.remove(name)

    def sql(self, database: str, text: str) -> None:
        conninfo = psycopg.conninfo.make_conninfo(
            self.postgres.url("postgres"), dbname=database
        )
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute(text.encode())
            # Otherwise the server may count what was written a second later.
            conn.execute("SELECT pg_stat_force_next_flush()")
            conn.execute("SELECT 1")

    def put(self, key: str, content: bytes) -> None:
        self.s3.client().put_object(
            Bucket=ASSETS_BUCKET, Key=key, Body=content
        )

    def remove(self, key: str) -> None:
        self.s3.client().delete_object(Bucket=ASSETS_BUCKET, Key=key)

    def ingest(self, flow: str = "postgres", **config: Any) -> "Run":
        """Run a job; one that fails is returned, not raised."""
        job = build_defs().resolve_job_def(f"{flow}_ingestion_job")
        find = {
            "postgres": "find_postgres_databases",
            "datalake": "find_datalake_prefixes",
        }[flow]
        self.clear_ledger()
        result = job.execute_in_process(
            run_config={"ops": {find: {"config": config}}},
            instance=self.instance,
            raise_on_error=False,
        )
        return Run(flow, result)

    def ledger(self) -> Any:
        return self._control("GET", "ledger").json()

    def clear_ledger(self) -> None:
        self._control("DELETE", "ledger")

    def faults(self, **faults: Any) -> None:
        self._control("PUT", "faults", json=faults)

    def hold(self, prefix: str, method: str = "PUT", skip: int = 0) -> None:
        """Let a request of a path wait for other faults."""
        route = {"prefix": prefix, "method": method, "skip": skip}
        self.faults(routes=[route | {"count": 1, "hold": True}])

    def is_held(self) -> bool:
        """Say whether a request waits so."""
        (route,) = self._control("GET", "faults").json()["routes"]
        return bool(route["count"] == 0)

    def wipe(self) -> None:
        """Let the server forget everything, as a new one has."""
        self._control("POST", "reset")

    def tables(self, service: str) -> set[str]:
        """Return the tables that the server has of a service."""
        return self._entities("tables", service)

    def databases(self, service: str) -> set[str]:
        return self._entities("databases", service)

    def _entities(self, path: str, service: str) -> set[str]:
        found: set[str] = set()
        params: dict[str, Any] = {"limit": 1000}
        while True:
            page = self._get(path, **params)
            found |= {
                each["fullyQualifiedName"]
                for each in page["data"]
                if each["service"]["name"] == service
            }
            after = page["paging"].get("after")
            if not after:
                return found
            params["after"] = after

    def table(self, fqn: str, fields: str = "") -> Any:
        return self._get(f"tables/name/{fqn}", fields=fields)

    def entity(self, path: str) -> Any:
        return self._get(path, fields="*")

    def describe(self, path: str, text: str) -> None:
        """Write a description, as a person does."""
        answer = httpx.patch(
            f"{self.server.url}/api/v1/{path}",
            json=[{"op": "add", "path": "/description", "value": text}],
            headers={
                "Authorization": f"Bearer {self.server.token}",
                "Content-Type": "application/json-patch+json",
            },
            trust_env=False,
        )
        answer.raise_for_status()

    def sample(self, fqn: str) -> Any:
        """Return the sample rows that the server has of a table."""
        entity_id = self.table(fqn)["id"]
        sample = self._get(f"tables/{entity_id}/sampleData").get("sampleData")
        return sample["rows"] if sample else None

    def profile(self, fqn: str) -> Any:
        return self._get(f"tables/{fqn}/tableProfile/latest")["profile"]

    def service(self, name: str, flow: Flow = Flow.POSTGRES) -> str:
        """Return what a source is called on the server."""
        sources = self.memory.sources(flow)
        return next(each.service for each in sources if each.name == name)

    @property
    def memory(self) -> MetadataSources:
        return MetadataSources(inbox_address(process_settings()))

    def bulk_rows(self) -> dict[str, int]:
        return dict(self.ledger()["rows"])

    def _get(self, path: str, **params: Any) -> Any:
        answer = httpx.get(
            f"{self.server.url}/api/v1/{path}",
            params=params,
            headers={"Authorization": f"Bearer {self.server.token}"},
            trust_env=False,
        )
        return answer.raise_for_status().json()

    def _control(self, method: str, path: str, **options: Any) -> Any:
        answer = httpx.request(
            method,
            f"{self.server.url}/_emulator/{path}",
            trust_env=False,
            **options,
        )
        return answer.raise_for_status()


@dataclass(frozen=True)
class Run:
    """A run of one of the jobs."""

    flow: str
    result: ExecuteInProcessResult

    @property
    def success(self) -> bool:
        return self.result.success

    def look(self) -> dict[str, Any]:
        """Return the metadata of the look at all sources."""
        find = {
            "postgres": "find_postgres_databases",
            "datalake": "find_datalake_prefixes",
        }[self.flow]
        return self._metadata(find)

    def steps(self) -> Sequence[str]:
        """Return the keys of mapped steps that ran."""
        return [
            event.step_key
            for event in self.result.all_events
            if event.is_step_start and event.step_key and "[" in event.step_key
        ]

    def metadata(self, name: str) -> dict[str, Any]:
        return self._metadata(self._step(name, "metadata"))

    def profile(self, name: str) -> dict[str, Any]:
        return self._metadata(self._step(name, "profiler"))

    def failure(self, name: str, step: str = "metadata") -> str:
        return self.failures()[self._step(name, step)]

    def failures(self) -> dict[str, str]:
        """Return what each failed step says."""
        found = {}
        for event in self.result.all_events:
            if event.is_step_failure and event.step_key:
                data = event.step_failure_data.user_failure_data
                text = data.description if data else None
                error = event.step_failure_data.error
                found[event.step_key] = str(text or error)
        return found

    def _step(self, name: str, step: str) -> str:
        return f"{self.flow}_{step}_ingestion[{mapping_key(name)}]"

    def _metadata(self, step: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {}
        for event in self.result.all_events:
            if event.step_key != step:
                continue
            if event.is_successful_output:
                metadata |= event.step_output_data.metadata
            elif event.is_step_failure:
                data = event.step_failure_data.user_failure_data
                metadata |= data.metadata if data else {}
        return {
            name: getattr(value, "value", value)
            for name, value in metadata.items()
        }


def kill_children() -> None:
    """Kill the processes of this one that are at work on a task."""
    for child in active_children():
        if child.pid:
            os.kill(child.pid, signal.SIGKILL)


@contextmanager
def new_world(
    instance: DagsterInstance, postgres: Postgres, s3: S3, server: OpenMetadata
) -> Iterator[World]:
    """Yield a world whose databases go when it ends."""
    world = World(instance, postgres, s3, server, f"w{uuid4().hex[:8]}_")
    try:
        yield world
    finally:
        for name in world.created:
            postgres.drop_database(name)
