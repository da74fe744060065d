"""Comments of the source, and what people write in their place."""

import pytest

from moderate_tests.integration.metadata_ingestion.world import World

pytestmark = pytest.mark.services


def test_changed_comments_are_carried_over(world: World) -> None:
    name = world.database("shop")
    world.sql(name, "COMMENT ON COLUMN sales.orders.amount IS 'in euros'")
    world.sql(name, "COMMENT ON TABLE sales.orders IS 'what is bought'")
    assert world.ingest().success
    world.sql(
        name,
        """
        COMMENT ON TABLE sales.customers IS 'who ever bought';
        COMMENT ON COLUMN sales.orders.amount IS 'in cents';
        COMMENT ON COLUMN sales.orders.at IS 'new';
        COMMENT ON TABLE sales.orders IS NULL;
        COMMENT ON SCHEMA sales IS 'all that we sell';
        """,
    )
    run = world.ingest()
    assert run.success, run.failures()
    schema = f"{world.service(name)}.{name}.sales"
    assert world.table(f"{schema}.customers")["description"] == (
        "who ever bought"
    )
    orders = world.table(f"{schema}.orders", "columns")
    assert not orders.get("description")
    assert _of_columns(orders) == {"amount": "in cents", "at": "new"}
    sales = world.entity(f"databaseSchemas/name/{schema}")
    assert sales["description"] == "all that we sell"
    again = world.ingest()
    assert again.steps() == []


def test_what_a_person_wrote_stays_and_is_told_once(world: World) -> None:
    name = world.database("shop")
    world.sql(name, "COMMENT ON COLUMN sales.customers.name IS 'of a person'")
    assert world.ingest().success
    customers = f"{world.service(name)}.{name}.sales.customers"
    world.describe(f"tables/name/{customers}", "curated by hand")
    world.sql(
        name,
        "COMMENT ON TABLE sales.customers IS 'something else';"
        "COMMENT ON COLUMN sales.customers.name IS 'of a company, too'",
    )
    run = world.ingest()
    assert run.success, run.failures()
    table = world.table(customers, "columns")
    assert table["description"] == "curated by hand"
    assert _of_columns(table) == {"name": "of a company, too"}
    assert "sales.customers" in run.metadata(name)["notes"]
    # It was not ours, so the next comment does not replace it either.
    world.sql(name, "COMMENT ON TABLE sales.customers IS 'yet another'")
    assert world.ingest().success
    assert world.table(customers)["description"] == "curated by hand"


def test_a_comment_that_could_not_be_carried_over_is_not_forgotten(
    world: World,
) -> None:
    name = world.database("shop")
    assert world.ingest().success
    world.sql(name, "COMMENT ON TABLE sales.customers IS 'who pays'")
    world.faults(
        routes=[{"prefix": "/api/v1/tables", "method": "PATCH", "status": 500}]
    )
    failed = world.ingest()
    assert not failed.success
    assert "PATCH" in failed.failure(name)
    world.faults()
    assert world.ingest().success
    customers = f"{world.service(name)}.{name}.sales.customers"
    assert world.table(customers)["description"] == "who pays"


def _of_columns(table: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {
        column["name"]: column["description"]
        for column in table["columns"]
        if column.get("description")
    }
