"""The sweep finds a secret in the places that need a server or a process."""

import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from moderate.local.services.postgres import Postgres
from moderate.local.services.s3 import OUTPUTS_BUCKET, S3
from moderate_tests import canary
from moderate_tests.canary import Sweep

pytestmark = pytest.mark.full

SECRET = f"canary-of-{uuid4().hex}"


def found_in(texts: Any) -> bool:
    sweep = Sweep({**canary.stand_ins(), "API_PASSWORD": SECRET})
    sweep.look("here", texts)
    return bool(sweep.leaks)


@pytest.mark.services
@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("text", SECRET),
        ("jsonb", f'{{"a": ["{SECRET}"]}}'),
        ("text[]", [SECRET]),
        ("bytea", SECRET.encode()),
        ("bytea", zlib.compress(SECRET.encode())),
    ],
)
def test_it_is_found_in_any_cell_of_postgres(
    postgres_server: Postgres, database_url: str, kind: str, cell: object
) -> None:
    assert not found_in(canary.database(database_url))
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA odd")
        conn.execute(f'CREATE TABLE odd."Odd" (a {kind})'.encode())
        conn.execute('INSERT INTO odd."Odd" VALUES (%s)', [cell])
    assert found_in(canary.database(database_url))
    assert found_in(canary.postgres(postgres_server.url("postgres")))


@pytest.mark.services
@pytest.mark.parametrize("where", ["key", "metadata", "body"])
def test_it_is_found_in_any_part_of_an_object(s3: S3, where: str) -> None:
    client = s3.client()
    key = f"canary/{SECRET}" if where == "key" else "canary/object"
    metadata = {"note": SECRET} if where == "metadata" else {}
    body = SECRET.encode() if where == "body" else b"-"
    client.put_object(
        Bucket=OUTPUTS_BUCKET, Key=key, Body=body, Metadata=metadata
    )
    try:
        assert found_in(canary.buckets(client))
    finally:
        client.delete_object(Bucket=OUTPUTS_BUCKET, Key=key)
    assert not found_in(canary.buckets(client))


def test_it_is_found_on_command_lines_and_in_environments(
    tmp_path: Path,
) -> None:
    program = "import sys; sys.stdin.read()"
    for arguments, environ in (
        ([SECRET], {"HOME": "/"}),
        ([], {"HOME": str(tmp_path), "PASSWORD": SECRET}),
    ):
        with subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env=environ,
            stdin=subprocess.PIPE,
        ) as process:
            until_it_is(process.pid)
            assert found_in(canary.command_lines()) == bool(arguments)
            environments = canary.environments_below(tmp_path)
            assert found_in(environments) != bool(arguments)
            process.communicate()


def until_it_is(pid: int) -> None:
    """Wait until a process is no copy of this one any more."""
    end = time.monotonic() + 60
    while b"sys.stdin" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < end
        time.sleep(0.01)
