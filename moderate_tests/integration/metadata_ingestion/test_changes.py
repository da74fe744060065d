"""Only what changed is paid for, and what is gone is carried over."""

import pytest

from moderate_tests.integration.metadata_ingestion.world import World

pytestmark = pytest.mark.services


def test_one_changed_table_is_the_only_one_that_is_sent(
    world: World,
) -> None:
    tables = "".join(f"CREATE TABLE t{n} (id int);" for n in range(12))
    name = world.database("many", tables)
    assert world.ingest().success
    world.sql(name, "ALTER TABLE t7 ADD COLUMN more text")
    run = world.ingest()
    assert run.success, run.failures()
    assert world.bulk_rows()["table"] == 1
    assert run.metadata(name)["written"] == 1
    service = world.service(name)
    assert len(world.tables(service)) == 12
    # The framework's own clean-up would take all others for deleted.
    calls = [(c["method"], c["path"]) for c in world.ledger()["calls"]]
    assert not [c for c in calls if c[0] == "DELETE" or "Stale" in c[1]]
    changed = world.table(f"{service}.{name}.public.t7")
    assert [each["name"] for each in changed["columns"]] == ["id", "more"]


def test_a_dropped_table_goes_also_after_a_failed_run(world: World) -> None:
    name = world.database("shop")
    assert world.ingest().success
    service = world.service(name)
    world.sql(name, "DROP VIEW sales.totals; DROP TABLE sales.orders")
    world.faults(
        routes=[
            {"prefix": "/api/v1/tables", "method": "DELETE", "status": 500}
        ]
    )
    failed = world.ingest()
    assert not failed.success
    assert "DELETE" in failed.failure(name)
    world.faults()
    run = world.ingest()
    assert run.success, run.failures()
    assert world.tables(service) == {f"{service}.{name}.sales.customers"}
    assert "table" not in world.bulk_rows()


def test_what_arrived_in_a_failed_step_goes_when_it_is_dropped(
    world: World,
) -> None:
    """Written and never remembered, it would stay there for ever."""
    name = world.database(
        "shop", "CREATE TABLE a (id int); COMMENT ON TABLE a IS 'one'"
    )
    assert world.ingest().success
    service = world.service(name)
    old, new = (f"{service}.{name}.public.{table}" for table in ("a", "new"))
    world.sql(name, "CREATE TABLE new (id int); COMMENT ON TABLE a IS 'two'")
    world.faults(
        routes=[{"prefix": "/api/v1/tables", "method": "PATCH", "status": 500}]
    )
    assert "PATCH" in world.ingest().failure(name)
    assert world.tables(service) == {old, new}
    world.faults()
    world.sql(name, "DROP TABLE new")
    run = world.ingest()
    assert run.success, run.failures()
    assert world.tables(service) == {old}
    assert world.table(old)["description"] == "two"


def test_a_dropped_database_and_an_emptied_prefix_go(world: World) -> None:
    kept = world.database("kept", "CREATE TABLE a (id int)")
    gone = world.database("gone", "CREATE TABLE a (id int)")
    assert world.ingest().success
    service = world.service(gone)
    assert world.tables(service)
    world.drop(gone)
    run = world.ingest()
    assert run.success, run.failures()
    assert world.tables(service) == set()
    assert world.tables(world.service(kept))
    assert world.ingest().steps() == []


def test_a_server_that_was_wiped_gets_everything_again(
    world: World,
) -> None:
    name = world.database("shop")
    assert world.ingest().success
    world.wipe()
    run = world.ingest()
    assert run.success, run.failures()
    assert len(world.tables(world.service(name))) == 3
    assert world.ingest().steps() == []


def test_what_is_forced_is_done_though_it_is_unchanged(world: World) -> None:
    name = world.database("shop")
    other = world.database("other", "CREATE TABLE a (id int)")
    assert world.ingest().success
    run = world.ingest(force=True, only=[name])
    assert run.success
    assert run.metadata(name)["written"] == run.metadata(name)["found"]
    assert all(other not in step for step in run.steps())


def test_rows_that_changed_are_profiled_and_nothing_else_is(
    world: World,
) -> None:
    name = world.database("shop")
    assert world.ingest().success
    world.sql(name, "INSERT INTO sales.customers VALUES (999, 'new')")
    run = world.ingest()
    assert run.success, run.failures()
    assert run.metadata(name)["written"] == 0
    assert run.profile(name)["written"] == 1
    calls = [
        call for call in world.ledger()["calls"] if call["method"] != "GET"
    ]
    assert [call["path"].rsplit("/", 1)[1] for call in calls] == [
        "tableProfile"
    ]
