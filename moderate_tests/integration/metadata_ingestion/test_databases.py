"""Databases: what arrives, and what is paid for."""

import pytest

from moderate.inbox.metadata_sources import Flow
from moderate_tests.integration.metadata_ingestion.world import (
    SHOP_TABLES,
    World,
)

pytestmark = pytest.mark.services


def test_a_database_arrives_with_its_profiles_and_then_is_unchanged(
    world: World,
) -> None:
    name = world.database("shop")
    run = world.ingest()
    assert run.success, run.failures()
    service = world.service(name)
    assert service == f"platform-postgres-{world.prefix}shop".replace("_", "-")
    assert world.tables(service) == {
        f"{service}.{name}.sales.{table}"
        for table in ("customers", "orders", "totals")
    }
    customers = world.table(f"{service}.{name}.sales.customers")
    assert customers["description"] == "who buys"
    assert run.profile(name)["written"] == 2
    # Nobody has analysed the table yet.
    profile = world.profile(f"{service}.{name}.sales.customers")
    assert profile["rowCount"] == 50
    again = world.ingest()
    assert again.success
    assert again.steps() == []
    assert again.look()["unchanged"] == 1
    assert world.ledger()["writes"] == 0
    assert SHOP_TABLES == 3


def test_two_databases_whose_names_come_to_the_same_both_arrive(
    world: World,
) -> None:
    alike = [
        world.database(name, f"CREATE TABLE {table} (id int)")
        for name, table in (("my_db", "one"), ("my-db", "two"))
    ]
    run = world.ingest()
    assert run.success, run.failures()
    services = [world.service(name) for name in alike]
    assert len(set(services)) == len(alike)
    for name, service, table in zip(
        alike, services, ("one", "two"), strict=True
    ):
        assert world.databases(service) == {f"{service}.{name}"}
        assert world.tables(service) == {f"{service}.{name}.public.{table}"}
        assert run.profile(name)["written"] == 1
    assert max(services, key=len) in run.look()["notes"]
    assert world.ingest().steps() == []


def test_rows_are_told_as_they_are_and_not_as_they_were_estimated(
    world: World,
) -> None:
    name = world.database("shop")
    world.sql(name, "ANALYZE")
    world.sql(
        name,
        "INSERT INTO sales.customers SELECT n, 'name ' || n"
        "  FROM generate_series(51, 60) n",
    )
    assert world.ingest().success
    service = world.service(name)
    profile = world.profile(f"{service}.{name}.sales.customers")
    assert profile["rowCount"] == 60


def test_what_was_there_before_all_memory_goes_and_is_named(
    world: World,
) -> None:
    """As on a server that another ingestion filled."""
    name = world.database("shop")
    first = world.ingest()
    assert first.success, first.failures()
    world.sql(
        name, "DROP FUNCTION sales.double; DROP TABLE sales.orders CASCADE"
    )
    (source,) = world.memory.sources(Flow.POSTGRES)
    world.memory.forget(source)
    run = world.ingest()
    assert run.success, run.failures()
    service = world.service(name)
    assert world.tables(service) == {f"{service}.{name}.sales.customers"}
    assert not world.entity("storedProcedures")["data"]
    notes = run.metadata(name)["notes"]
    assert "3 that OpenMetadata had, and the source has not" in notes
    assert "sales.double" in notes


def test_a_name_that_is_nowhere_is_noted(world: World) -> None:
    world.database("shop")
    look = world.ingest(only=["typo"]).look()
    assert look["found"] == 0
    assert "'typo' was asked for, and there is none" in look["notes"]
