"""Whole workflows of the framework, against the emulator.

They take the way that was recorded: the same calls that write, in the same
order.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import polars as pl
import psycopg
import pytest

from moderate.local.services.open_metadata import OpenMetadata
from moderate.local.services.postgres import Postgres
from moderate.local.services.s3 import S3
from moderate_tests.contract.open_metadata.conftest import connect
from moderate_tests.contract.open_metadata.recording import FOLDER, read

pytestmark = [pytest.mark.full, pytest.mark.services]

PROGRAM = Path(__file__).with_name("workflow_program.py")
TIMEOUT_SECONDS = 250
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
DDL = """
CREATE SCHEMA hr;
CREATE SCHEMA "o.ps";
CREATE TABLE hr.departments (id int PRIMARY KEY, name varchar(80));
CREATE TABLE hr.employees (
  id int PRIMARY KEY,
  dept_id int REFERENCES hr.departments (id),
  badge uuid
);
CREATE TABLE "o.ps"."wei""rd.näme x" (a int, "b.c" text);
CREATE VIEW hr.names AS SELECT name FROM hr.departments;
INSERT INTO hr.departments SELECT n, 'd' FROM generate_series(1, 100) n;
ANALYZE;
"""
Json = dict[str, Any]


@pytest.fixture
def control(emulator: OpenMetadata) -> Iterator[httpx.Client]:
    """A client of the emulator's controls."""
    with connect(emulator.url) as client:
        yield client


def run(emulator: OpenMetadata, kind: str, source: Json, **more: Any) -> None:
    """Run a workflow."""
    server = {
        "hostPort": f"{emulator.url}/api",
        "authProvider": "openmetadata",
        "securityConfig": {"jwtToken": emulator.token},
        "enableVersionValidation": False,
    }
    configuration = {
        "source": source,
        "sink": {"type": "metadata-rest", "config": {}},
        "workflowConfig": {"openMetadataServerConfig": server},
        **more,
    }
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", str(PROGRAM), kind],
        input=json.dumps(configuration),
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*", "HOME": "/tmp"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


def postgres_source(server: Postgres, url: str, config: Json) -> Json:
    """The source of a workflow over a Postgres database."""
    login = server.client_environment()
    connection = {
        "type": "Postgres",
        "username": login["POSTGRES_USERNAME"],
        "authType": {"password": login["POSTGRES_PASSWORD"]},
        "hostPort": f"{login['POSTGRES_HOST']}:{login['POSTGRES_PORT']}",
        "database": urlsplit(url).path.removeprefix("/"),
    }
    excluded = {"excludes": ["^information_schema$", "^public$"]}
    return {
        "type": "postgres",
        "serviceName": "shop_pg",
        "serviceConnection": {"config": connection},
        "sourceConfig": {
            "config": {**config, "schemaFilterPattern": excluded}
        },
    }


def writes(calls: Iterable[tuple[str, str]]) -> list[str]:
    """Calls that are meant to write, each once, in their order."""
    found = (
        f"{method} {UUID.sub('{id}', path)}"
        for method, path in calls
        if method != "GET"
    )
    return list(dict.fromkeys(found))


def told(control: httpx.Client) -> list[str]:
    """The writes since the last time, which are then forgotten."""
    calls = control.get("/_emulator/ledger").json()["calls"]
    control.delete("/_emulator/ledger").raise_for_status()
    return writes((call["method"], call["path"]) for call in calls)


def recorded(name: str) -> list[str]:
    """The writes of a recording."""
    exchanges = read(FOLDER / f"{name}.jsonl")
    return writes((each.method, each.path) for each in exchanges)


def tables(control: httpx.Client) -> dict[str, Json]:
    """What arrived, by name."""
    (service,) = control.get("/_emulator/overview").json()["services"]
    return {
        leaf["name"]: leaf
        for folder in service["folders"]
        for leaf in folder["leaves"]
    }


def test_a_database_is_brought_in_brought_in_again_and_followed(
    emulator: OpenMetadata,
    control: httpx.Client,
    postgres_server: Postgres,
    database_url: str,
) -> None:
    """Every name is one that a person could have given."""
    source = postgres_source(
        postgres_server, database_url, {"type": "DatabaseMetadata"}
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(DDL)

    run(emulator, "metadata", source)

    assert told(control) == recorded("postgres")
    first = tables(control)
    assert first.keys() == {
        "departments",
        "employees",
        "names",
        "wei__reserved__quote__rd.näme x",
    }
    assert first["employees"]["constraints"] == 1

    run(emulator, "metadata", source)

    assert [call for call in told(control) if "deleteStale" not in call] == [
        call for call in recorded("postgres-changed") if "bulk" in call
    ]
    again = tables(control)
    assert {name: leaf["version"] for name, leaf in again.items()} == {
        name: leaf["version"] for name, leaf in first.items()
    }

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP TABLE hr.employees")
        connection.execute("ALTER TABLE hr.departments ADD city text")
    run(emulator, "metadata", source)

    changed = recorded("postgres-changed")
    assert told(control)[: len(changed)] == changed
    last = tables(control)
    assert last["employees"]["deleted"]
    assert last["departments"]["columns"] == 3
    assert last["departments"]["version"] > first["departments"]["version"]

    profiler = postgres_source(
        postgres_server, database_url, {"type": "Profiler"}
    )
    processor = {"type": "orm-profiler", "config": {}}
    run(emulator, "profiler", profiler, processor=processor)

    profiled = tables(control)
    assert profiled["departments"]["profile"]["rows"] == 100
    assert profiled["departments"]["profile"]["profiled_columns"] == 3
    assert profiled["employees"]["profile"] is None


def test_files_in_a_bucket_are_brought_in_and_profiled(
    emulator: OpenMetadata, control: httpx.Client, s3: S3, tmp_path: Path
) -> None:
    """A file is a table, and its name has slashes and a dot."""
    bucket = f"lake-{uuid4().hex}"
    frame = pl.DataFrame({"city": ["a", "b"], "people": [1, 2]})
    frame.write_csv(tmp_path / "cities.csv")
    frame.write_parquet(tmp_path / "cities.parquet")
    client = s3.client()
    client.create_bucket(Bucket=bucket)
    for name in ("cities.csv", "cities.parquet"):
        client.upload_file(str(tmp_path / name), bucket, f"raw/{name}")
    source = lake_source(s3, bucket, {"type": "DatabaseMetadata"})

    run(emulator, "metadata", source)

    assert told(control) == recorded("datalake")
    assert tables(control).keys() == {"raw/cities.csv", "raw/cities.parquet"}

    profiler = lake_source(s3, bucket, {"type": "Profiler"})
    processor = {"type": "orm-profiler", "config": {}}
    run(emulator, "profiler", profiler, processor=processor)

    for leaf in tables(control).values():
        assert leaf["profile"]["rows"] == 2
        assert leaf["profile"]["profiled_columns"] == 2


def lake_source(s3: S3, bucket: str, config: Json) -> Json:
    """The source of a workflow over a bucket."""
    login = s3.client_environment()
    security = {
        "awsAccessKeyId": login["S3_ACCESS_KEY_ID"],
        "awsSecretAccessKey": login["S3_SECRET_ACCESS_KEY"],
        "awsRegion": login["S3_REGION"],
        "endPointURL": login["S3_ENDPOINT_URL"],
    }
    connection = {
        "type": "Datalake",
        "configSource": {"securityConfig": security},
        "bucketName": bucket,
        "prefix": "raw/",
    }
    return {
        "type": "datalake",
        "serviceName": "lake",
        "serviceConnection": {"config": connection},
        "sourceConfig": {"config": config},
    }
