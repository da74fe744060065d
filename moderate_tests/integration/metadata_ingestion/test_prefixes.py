"""Prefixes of the bucket: what arrives, and what is paid for."""

import io

import pyarrow
import pytest
from pyarrow import parquet

from moderate.inbox.metadata_sources import Flow
from moderate_tests.integration.metadata_ingestion.world import World

pytestmark = pytest.mark.services

CSV = b"at,meter,value\n" + b"".join(
    b"2024-01-01T00:00:00,m%d,%d.5\n" % (n % 7, n) for n in range(300)
)


def as_parquet(rows: int) -> bytes:
    table = pyarrow.table({"id": range(rows), "name": ["x"] * rows})
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()


def test_a_prefix_arrives_with_its_profiles_and_then_is_unchanged(
    world: World,
) -> None:
    world.put("raw/meters.csv", CSV)
    world.put("raw/deep/names.parquet", as_parquet(40))
    world.put("raw/readme.md", b"not a table")
    run = world.ingest("datalake")
    assert run.success, run.failures()
    service = world.service("raw/", Flow.DATALAKE)
    assert world.tables(service) == {
        f'{service}.default.moderate."raw/meters.csv"',
        f'{service}.default.moderate."raw/deep/names.parquet"',
    }
    assert run.profile("raw/")["written"] == 2
    again = world.ingest("datalake")
    assert again.success
    assert again.steps() == []
    assert world.ledger()["writes"] == 0
