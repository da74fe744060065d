"""Prefixes of the bucket: what arrives, and what is paid for."""

import io

import pyarrow as pa
import pytest
from pyarrow import parquet

from moderate.inbox.metadata_sources import Flow
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.metadata_ingestion.world import World

pytestmark = pytest.mark.services

CSV = b"at,meter,value\n" + b"".join(
    b"2024-01-01T00:00:00,m%d,%d.5\n" % (n % 7, n) for n in range(300)
)


def as_parquet(rows: int) -> bytes:
    table = pa.table({"id": range(rows), "name": ["x"] * rows})
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


def test_a_new_object_is_the_only_one_that_is_sent(world: World) -> None:
    world.put("raw/a.csv", CSV)
    world.put("raw/b.csv", CSV)
    assert world.ingest("datalake").success
    world.put("raw/new.csv", CSV)
    run = world.ingest("datalake")
    assert run.success, run.failures()
    assert world.bulk_rows()["table"] == 1
    assert run.profile("raw/")["written"] == 1
    world.remove("raw/a.csv")
    gone = world.ingest("datalake")
    assert gone.success, gone.failures()
    assert gone.metadata("raw/")["removed"] == 1
    assert len(world.tables(world.service("raw/", Flow.DATALAKE))) == 2


def test_broken_and_empty_objects_fail_alone_or_are_noted(
    world: World,
) -> None:
    world.put("bad/broken.parquet", b"PAR1 this is not one")
    world.put("bad/good.csv", CSV)
    world.put("empty/nothing.csv", b"")
    world.put("empty/no_rows.csv", b"at,value\n")
    world.put("empty/no_rows.parquet", as_parquet(0))
    world.put("fine/good.csv", CSV)
    run = world.ingest("datalake")
    assert not run.success
    assert "broken.parquet" in run.failure("bad/")
    assert run.metadata("bad/")["written"] == 2
    # Broken for good, it must not keep the others from their profiles.
    assert run.metadata("bad/")["profile: written"] == 1
    service = world.service("bad/", Flow.DATALAKE)
    good = f"{service}.default.moderate.%22bad%2Fgood.csv%22"
    assert world.profile(good)["rowCount"] == 300
    assert run.profile("fine/")["written"] == 1
    assert run.metadata("empty/")["failed"] == 0
    assert "1 objects are empty" in run.profile("empty/")["notes"]
    again = world.ingest("datalake")
    assert not again.success
    assert again.metadata("bad/")["profile: unchanged"] == 1
    assert world.bulk_rows().get("table", 0) == 0


def test_a_prefix_with_too_many_objects_fails_alone(world: World) -> None:
    for number in range(4):
        world.put(f"many/{number}.csv", CSV)
    world.put("few/a.csv", CSV)
    with environment({"METADATA_MAX_OBJECTS": "3"}):
        run = world.ingest("datalake")
    assert "over 3 objects" in run.failure("many/")
    assert run.profile("few/")["written"] == 1


def test_a_prefix_of_which_nothing_was_done_is_forgotten_when_it_goes(
    world: World,
) -> None:
    """It would else be told as unchanged, and keep its name, for ever."""
    keys = [f"many/{number}.csv" for number in range(4)]
    for key in keys:
        world.put(key, CSV)
    with environment({"METADATA_MAX_OBJECTS": "3"}):
        assert not world.ingest("datalake").success
    assert world.memory.sources(Flow.DATALAKE)
    for key in keys:
        world.remove(key)
    run = world.ingest("datalake")
    assert run.success, run.failures()
    assert world.ledger()["writes"] == 0
    assert not world.memory.sources(Flow.DATALAKE)
    assert world.ingest("datalake").look()["found"] == 0


def test_the_rows_of_an_object_are_counted_and_a_sample_is_profiled(
    world: World,
) -> None:
    world.put("raw/a.csv", CSV)
    with environment({"METADATA_SAMPLE_ROWS": "100"}):
        run = world.ingest("datalake")
    assert run.success, run.failures()
    service = world.service("raw/", Flow.DATALAKE)
    fqn = f"{service}.default.moderate.%22raw%2Fa.csv%22"
    assert world.profile(fqn)["rowCount"] == 300
