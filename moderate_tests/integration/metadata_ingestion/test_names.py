"""Whoever may create something chooses its name, and gets no more by that."""

from urllib.parse import quote

import psycopg
import pytest

from moderate_tests.integration.metadata_ingestion.world import World

pytestmark = pytest.mark.services

# Arguments of a connection, to those who take it for a part of a URL.
DATABASE = "Ö.x 'y'?hostaddr=127.0.0.9&user=eve#%41"
BRIEN = """
CREATE SCHEMA "o'brien";
CREATE TABLE "o'brien"."kept::""so" (id int);
CREATE POLICY "it's ours" ON "o'brien"."kept::""so" USING (true);
CREATE FUNCTION "o'brien".double(int) RETURNS int LANGUAGE sql AS
    'SELECT $1 * 2';
CREATE PROCEDURE "o'brien".tidy() LANGUAGE sql AS 'SELECT 1';
"""
ODD = """
CREATE SCHEMA "s p.a c€";
CREATE TABLE "s p.a c€"."ta.b le ü" (id int, "co l.ü""x" text);
CREATE TABLE "s p.a c€"."it's; DROP" (id int);
CREATE TABLE public.plain (id int);
INSERT INTO public.plain VALUES (1);
CREATE FUNCTION public."a>b::""c"() RETURNS int LANGUAGE sql AS 'SELECT 1';
"""
NAMELESS = """
CREATE SCHEMA "we""ird";
CREATE TABLE "we""ird".a (id int);
CREATE FUNCTION "we""ird".f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE SCHEMA "c::d";
CREATE TABLE "c::d".a (id int);
CREATE SCHEMA "e>f";
CREATE TABLE "e>f".a (id int);
"""
# So the framework writes `kept::"so`, and `a>b::"c`.
KEPT = "o'brien.kept__reserved__colon____reserved__quote__so"
AS_SENT = "public.a__reserved__arrow__b__reserved__colon____reserved__quote__c"


def _is_superuser(world: World, role: str) -> bool:
    query = "SELECT rolsuper FROM pg_roles WHERE rolname = %s"
    with psycopg.connect(world.postgres.url("postgres")) as conn:
        row = conn.execute(query, [role]).fetchone()
    assert row
    return bool(row[0])


def test_names_are_names_and_never_arguments_or_sql(world: World) -> None:
    """One database: its connection, its policies, its procedures."""
    eve = f"{world.prefix}eve"
    evil = f"x';ALTER ROLE {eve} SUPERUSER;--"
    name = world.database(
        DATABASE,
        f"""
        CREATE ROLE {eve};
        CREATE SCHEMA "{evil}";
        CREATE FUNCTION "{evil}".f() RETURNS int LANGUAGE sql AS 'SELECT 1';
        """
        + BRIEN
        + ODD
        + NAMELESS,
    )
    world.database('a"b', "CREATE TABLE a (id int)")
    try:
        run = world.ingest()
        assert not _is_superuser(world, eve)
    finally:
        world.sql("postgres", f"DROP ROLE {eve}")
    assert run.success, run.failures()
    database = f'{world.service(name)}."{name}"'
    assert world.tables(world.service(name)) == {
        f"{database}.{KEPT}",
        f'{database}."s p.a c€"."ta.b le ü"',
        f'{database}."s p.a c€".it\'s; DROP',
        f"{database}.public.plain",
    }
    assert run.profile(name)["written"] == 4
    for procedure in ("o'brien.double", "o'brien.tidy", AS_SENT):
        fqn = quote(f"{database}.{procedure}", safe="")
        assert world.entity(f"storedProcedures/name/{fqn}")
    kept = quote(f"{database}.{KEPT}", safe="")
    (tag,) = world.table(kept, "tags")["tags"]
    assert tag["tagFQN"] == "PostgresPolicyTags.it's ours"
    # The framework has no names for these.
    notes = run.metadata(name)["notes"]
    assert all(each in notes for each in ('we"ird', "c::d", "e&#62;f"))
    assert "has a double quote" in run.look()["notes"]
    assert len(run.steps()) == 2
    assert world.ingest().steps() == []
