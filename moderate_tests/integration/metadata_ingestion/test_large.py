"""Sources of a size that nobody meant."""

from pathlib import Path

import pytest

from moderate.inbox.metadata_sources import Flow
from moderate.local.services.s3 import ASSETS_BUCKET, S3Program
from moderate_tests.integration.metadata_ingestion.world import World

pytestmark = [pytest.mark.services, pytest.mark.full]

COLUMNS = 3_000
OBJECTS = 100_000


def test_a_table_of_3000_columns_arrives(world: World) -> None:
    header = ",".join(f"column_{n}" for n in range(COLUMNS))
    row = ",".join(str(n) for n in range(COLUMNS))
    world.put("wide/a.csv", "\n".join([header, *[row] * 50]).encode())
    run = world.ingest("datalake")
    assert run.success, run.failures()
    service = world.service("wide/", Flow.DATALAKE)
    table = world.table(f"{service}.default.moderate.%22wide%2Fa.csv%22")
    assert len(table["columns"]) == COLUMNS
    assert run.profile("wide/")["written"] == 1


def test_a_postgres_table_of_1600_columns_arrives(world: World) -> None:
    # More no table of Postgres can have.
    columns = ", ".join(f"column_{n} int" for n in range(1_600))
    name = world.database("wide", f"CREATE TABLE wide ({columns})")
    run = world.ingest()
    assert run.success, run.failures()
    fqn = f"{world.service(name)}.{name}.public.wide"
    assert len(world.table(fqn)["columns"]) == 1_600


def test_a_prefix_of_100000_objects_is_looked_at(world: World) -> None:
    if world.s3.program is not S3Program.VERSITYGW:
        pytest.skip("only versitygw takes objects that lie in a folder")
    folder = world.s3.folder / "objects" / ASSETS_BUCKET / "many"
    _fill(folder, OBJECTS - 1)
    world.put("many/a.csv", b"a,b\n1,2\n")
    run = world.ingest("datalake")
    assert run.success, run.failures()
    assert run.profile("many/")["written"] == 1
    assert f"{OBJECTS - 1} objects" in run.profile("many/")["notes"]
    assert world.ingest("datalake").steps() == []


def _fill(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:06}.bin").write_bytes(b"x")
