"""The catalogue's fingerprints tell each kind of change, and no other."""

import pytest

from moderate.errors import TemporaryError
from moderate.flows.metadata_ingestion.catalogue import (
    Catalogue,
    DatabaseGoneError,
)
from moderate.flows.metadata_ingestion.plan import Seen, table
from moderate.settings import PostgresSettings, process_settings
from moderate_tests.integration.metadata_ingestion.world import SHOP, World

pytestmark = pytest.mark.services

CHANGES = (
    "ALTER TABLE sales.orders ADD COLUMN note text",
    "ALTER TABLE sales.orders DROP COLUMN at",
    "ALTER TABLE sales.orders RENAME COLUMN at TO since",
    "ALTER TABLE sales.customers ALTER COLUMN name TYPE varchar(80)",
    "ALTER TABLE sales.customers ALTER COLUMN name DROP NOT NULL",
    "ALTER TABLE sales.customers ALTER COLUMN name SET DEFAULT 'x'",
    "ALTER TABLE sales.orders ADD CHECK (id > 0)",
    "ALTER TABLE sales.orders DROP CONSTRAINT orders_customer_id_fkey",
    "COMMENT ON TABLE sales.orders IS 'other'",
    "COMMENT ON COLUMN sales.orders.id IS 'other'",
    "COMMENT ON SCHEMA sales IS 'other'",
    (
        "CREATE OR REPLACE VIEW sales.totals AS SELECT customer_id,"
        " sum(amount) * 2 AS total FROM sales.orders GROUP BY 1"
    ),
    "CREATE TABLE sales.more (id int)",
    "DROP VIEW sales.totals",
    "CREATE SCHEMA other",
    (
        "CREATE OR REPLACE FUNCTION sales.double(int) RETURNS int LANGUAGE sql"
        " AS 'SELECT $1 * 3'"
    ),
    "DROP FUNCTION sales.double(int)",
    "CREATE MATERIALIZED VIEW sales.stored AS SELECT 1 AS one",
    "ALTER TYPE sales.size ADD VALUE 'XL'",
    "ALTER TABLE sales.events RENAME TO happenings",
)
NO_CHANGES = (
    "INSERT INTO sales.customers VALUES (1000, 'one more')",
    "VACUUM ANALYZE sales.customers",
    "CREATE INDEX ON sales.orders (customer_id)",
    "REINDEX TABLE sales.orders",
    (
        "CREATE TABLE sales.events_2 PARTITION OF sales.events"
        " FOR VALUES FROM (10) TO (20)"
    ),
)
MORE = """
CREATE TYPE sales.size AS ENUM ('S', 'M');
ALTER TABLE sales.orders ADD COLUMN size sales.size;
CREATE TABLE sales.events (id int) PARTITION BY RANGE (id);
CREATE TABLE sales.events_1 PARTITION OF sales.events
    FOR VALUES FROM (0) TO (10);
"""


def _look(database: str) -> Seen:
    settings = process_settings().postgres
    assert isinstance(settings, PostgresSettings)
    return Catalogue(settings, ()).look(database)


def test_each_change_changes_a_fingerprint(world: World) -> None:
    template = world.database("template", SHOP + MORE)
    before = _look(template).parts
    assert before == _look(template).parts
    for number, change in enumerate(CHANGES):
        name = f"{world.prefix}{number}"
        world.postgres.create_database(name, template=template)
        world.created.append(name)
        copied = _look(name).parts
        world.sql(name, change)
        assert _look(name).parts != copied, change


def test_what_is_no_change_changes_no_fingerprint(world: World) -> None:
    name = world.database("shop", SHOP + MORE)
    before = _look(name).parts
    for change in NO_CHANGES:
        world.sql(name, change)
        assert _look(name).parts == before, change


def test_a_change_touches_its_own_table_only(world: World) -> None:
    name = world.database("shop")
    before = _look(name).parts
    world.sql(name, "ALTER TABLE sales.orders ADD COLUMN note text")
    after = _look(name).parts
    changed = {part for part in after if after[part] != before[part]}
    assert changed == {table("sales", "orders")}


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO sales.customers VALUES (1000, 'x')",
        "UPDATE sales.customers SET name = 'y' WHERE id = 1",
        "DELETE FROM sales.orders; DELETE FROM sales.customers",
        "TRUNCATE sales.customers CASCADE",
    ],
)
def test_rows_that_changed_are_seen(world: World, change: str) -> None:
    name = world.database("shop")
    part = table("sales", "customers")
    before = _look(name).rows[part]
    assert before == _look(name).rows[part]
    world.sql(name, change)
    assert _look(name).rows[part] != before


def test_rows_that_came_between_two_crashes_are_seen(world: World) -> None:
    """A server that crashed counts from 0: the same numbers again."""
    name = world.database("shop")
    part = table("sales", "customers")
    world.postgres.kill()
    world.postgres.start()
    before = _look(name).rows[part]
    world.postgres.restart()  # a gentle one keeps what was counted
    assert _look(name).rows[part] == before
    world.sql(name, "INSERT INTO sales.customers VALUES (1000, 'x')")
    world.postgres.kill()
    world.postgres.start()
    assert _look(name).rows[part] != before


def test_a_database_that_is_gone_is_told_from_one_that_fails(
    world: World,
) -> None:
    # The server quotes names in its own language, and in its own way.
    for gone in ("nowhere", "no  where"):
        with pytest.raises(DatabaseGoneError):
            _look(f"{world.prefix}{gone}")
    closed = world.database("closed", "SELECT 1")
    world.sql("postgres", f'ALTER DATABASE "{closed}" ALLOW_CONNECTIONS off')
    with pytest.raises(TemporaryError):
        _look(closed)


def test_only_databases_that_are_ours_to_read_are_listed(
    world: World,
) -> None:
    closed = world.database("closed", "SELECT 1")
    world.sql("postgres", f'ALTER DATABASE "{closed}" ALLOW_CONNECTIONS off')
    settings = process_settings().postgres
    assert settings
    listed = Catalogue(settings, ("post.*",)).listed()
    assert listed["template1"] == "is a template"
    assert listed["postgres"] == "matches 'post.*'"
    assert listed[closed] == "takes no connection of ours"
    assert listed[settings.inbox_database] == "is our own"
