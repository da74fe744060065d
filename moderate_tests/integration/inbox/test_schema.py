"""The schema is what the code takes it for, however it came about."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import psycopg
import pytest

from moderate.errors import PermanentError
from moderate.inbox import migrate as module
from moderate.inbox.database import (
    Address,
    InboxUnavailableError,
    pool_of,
    transaction,
)
from moderate.inbox.migrate import (
    Migration,
    StaleSchemaError,
    migrate,
    migrations,
    require_current_schema,
    schema_version,
)
from moderate.inbox.model import State
from moderate.inbox.queries import statements
from moderate.inbox.store import Inbox
from moderate.local.services.postgres import Postgres
from moderate_tests.integration.inbox.world import (
    KINDS,
    change,
    look,
    race,
    record,
)

LATEST = migrations()[-1].number
PROCESSES = 4

# What each parameter is in all statements; a name has one meaning.
PARAMETER_TYPES = {
    "action": "text",
    "age": "interval",
    "asset_id": "bigint",
    "batch_id": "bigint",
    "batch_ids": "bigint[]",
    "batch_size": "bigint",
    "bound": "bigint",
    "columns": "jsonb",
    "comments": "text[]",
    "commit_id": "text",
    "content_hash": "text",
    "dataset": "text",
    "delay": "interval",
    "dropped": "boolean",
    "ending": "text",
    "error": "text",
    "failed": "boolean",
    "fingerprints": "text[]",
    "flow": "text",
    "format": "text",
    "grace": "interval",
    "holder": "text",
    "host": "text",
    "id": "bigint",
    "ids": "bigint[]",
    "image": "text",
    "item_id": "bigint",
    "items": "jsonb",
    "key": "text",
    "keys": "text[]",
    "kind": "text",
    "kinds": "text[]",
    "lag": "interval",
    "life": "interval",
    "limit": "bigint",
    "made_of": "text",
    "name": "text",
    "names": "text[]",
    "object_hash": "text",
    "object_id": "bigint",
    "outcome": "jsonb",
    "parts": "text[]",
    "path": "text",
    "place": "text",
    "peer": "text",
    "pid": "integer",
    "priority": "integer",
    "reason": "text",
    "row_count": "bigint",
    "run_id": "text",
    "run_ids": "text[]",
    "run_key": "text",
    "service": "text",
    "share": "bigint",
    "silence": "interval",
    "since": "timestamptz",
    "size_bytes": "bigint",
    "slots": "bigint",
    "state": "text",
    "step": "text",
    "target": "bigint",
    "task_ids": "bigint[]",
    "value": "jsonb",
    "version": "bigint",
    "wanted": "bigint",
    "who": "text",
    "why": "text",
    "worker": "uuid",
}


def describe(where: Address) -> list[tuple[object, ...]]:
    """Read everything that makes a schema, in an order of its own."""
    query = """
        SELECT 'column', table_name, column_name, data_type, is_nullable,
               column_default, is_identity
          FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL
        SELECT 'index', tablename, indexname, indexdef, '', '', ''
          FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL
        SELECT 'constraint', conrelid::regclass::text, conname,
               pg_get_constraintdef(oid), '', '', ''
          FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL
        SELECT 'comment', objoid::regclass::text, objsubid::text,
               description, '', '', ''
          FROM pg_description WHERE classoid = 'pg_class'::regclass
           AND objoid >= 16384
        UNION ALL
        SELECT 'version', number::text, name, '', '', '', ''
          FROM schema_version
         ORDER BY 1, 2, 3, 4
    """
    with psycopg.connect(where.conninfo) as conn:
        return conn.execute(query).fetchall()


def checked(where: Address, table: str, column: str) -> set[str]:
    """Read which words the database allows in a column."""
    rows = change(
        where,
        "SELECT pg_get_constraintdef(oid) AS def FROM pg_constraint"
        " WHERE conrelid = %(table)s::regclass AND contype = 'c'",
        table=table,
    )
    (rule,) = (
        row["def"]
        for row in rows
        if row["def"].startswith(f"CHECK (({column} = ANY")
    )
    return set(re.findall(r"'(\w+)'::text", rule))


def test_the_states_are_those_that_the_database_allows(
    inbox_address: Address,
) -> None:
    """One set of names in the diagram, the enum and the database."""
    assert checked(inbox_address, "work_item", "state") == set(State)


def test_the_states_of_a_batch_are_those_of_the_statements(
    inbox_address: Address,
) -> None:
    allowed = checked(inbox_address, "batch", "state")
    assert allowed == {"dispatched", "running", "closed"}


@pytest.mark.parametrize("name", statements())
def test_a_statement_fits_the_schema(
    inbox_address: Address, name: str
) -> None:
    text = statements()[name].as_string()
    used = sorted(set(re.findall(r"%\((\w+)\)s", text)))
    for number, parameter in enumerate(used, 1):
        text = text.replace(f"%({parameter})s", f"${number}")
    types = ", ".join(PARAMETER_TYPES[parameter] for parameter in used)
    head = f"PREPARE checked ({types}) AS " if used else "PREPARE checked AS "
    with psycopg.connect(inbox_address.conninfo) as conn:
        conn.execute((head + text).encode())


def test_no_time_is_that_of_the_transactions_start(
    inbox_address: Address,
) -> None:
    """Rule 12: now() stands still while a transaction waits for a lock."""
    facts = str(describe(inbox_address))
    for statement in statements().values():
        facts += statement.as_string()
    found = re.findall(
        r"\bnow\(\)|current_timestamp|localtimestamp|transaction_timestamp"
        r"|statement_timestamp|current_date",
        facts,
        re.IGNORECASE,
    )
    assert found == []
    assert "clock_timestamp()" in facts


def test_migrations_are_numbered_without_gaps() -> None:
    assert [step.number for step in migrations()] == list(
        range(1, len(migrations()) + 1)
    )


@pytest.mark.parametrize("version", range(LATEST))
def test_an_older_schema_is_migrated_to_what_a_new_one_is(
    inbox_address: Address,
    fresh: Callable[[], Address],
    monkeypatch: pytest.MonkeyPatch,
    version: int,
) -> None:
    older = fresh()
    with monkeypatch.context() as patch:
        steps = migrations()[:version]
        patch.setattr(module, "migrations", lambda: steps)
        migrate(older)
    migrate(older)
    assert describe(older) == describe(inbox_address)


@pytest.fixture
def fresh(postgres_server: Postgres) -> Iterator[Callable[[], Address]]:
    """Make addresses at which there is no database yet."""
    with ExitStack() as stack:

        def make(name: str = "") -> Address:
            database = name or f"inbox_{uuid4().hex}"
            where = Address(postgres_server.url(database))
            stack.callback(postgres_server.drop_database, database)
            stack.callback(lambda: pool_of(where).close())
            return where

        yield make


def test_a_database_that_is_missing_is_created(
    fresh: Callable[[], Address],
) -> None:
    where = fresh()
    assert migrate(where) == [step.name for step in migrations()]
    inbox = Inbox(where, KINDS)
    record(inbox, "1")
    (row,) = change(where, "SHOW server_encoding")
    assert row["server_encoding"] == "UTF8"


def test_a_database_may_have_any_name(
    fresh: Callable[[str], Address],
) -> None:
    where = fresh("In%22box%3B%20drop")
    migrate(where)
    assert schema_of(where) == LATEST


def schema_of(where: Address) -> int:
    with transaction(where) as conn:
        return schema_version(conn)


def test_migrating_again_changes_nothing(own_inbox: Inbox) -> None:
    record(own_inbox, "1", payload={"kept": True})
    before = describe(own_inbox.where)
    assert migrate(own_inbox.where) == []
    assert describe(own_inbox.where) == before
    assert look(own_inbox, "1").payload == {"kept": True}


def test_processes_that_migrate_at_once_all_succeed(
    fresh: Callable[[], Address], inbox_address: Address
) -> None:
    """Every replica of a deployment does it at its start."""
    where = fresh()
    script = (
        "import sys; from moderate.inbox.database import Address;"
        "from moderate.inbox.migrate import migrate;"
        "print(len(migrate(Address(sys.argv[1]))))"
    )
    command = [sys.executable, "-W", "error", "-c", script, where.conninfo]
    processes = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(PROCESSES)
    ]
    ends = [process.communicate(timeout=120) for process in processes]
    assert [error for _, error in ends] == [""] * PROCESSES
    assert sum(int(output) for output, _ in ends) == LATEST
    assert describe(where) == describe(inbox_address)


def test_threads_that_create_the_same_database_at_once_all_succeed(
    fresh: Callable[[], Address],
) -> None:
    for _ in range(3):
        where = fresh()
        applied = race(*[lambda: migrate(where)] * PROCESSES)  # noqa: B023
        assert sorted(map(len, applied)) == [0] * (PROCESSES - 1) + [LATEST]


def test_a_migration_that_fails_leaves_the_version_before_it(
    own_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = describe(own_address)
    bad = Migration(
        LATEST + 1, "bad.sql", "CREATE TABLE half (); SELECT 1 / 0;"
    )
    steps = [*migrations(), bad]
    with monkeypatch.context() as patch:
        patch.setattr(module, "migrations", lambda: steps)
        with pytest.raises(psycopg.errors.DivisionByZero):
            migrate(own_address)
    assert describe(own_address) == before


@pytest.mark.parametrize("version", range(LATEST))
def test_an_older_schema_is_refused_with_the_command_that_mends_it(
    fresh: Callable[[], Address],
    monkeypatch: pytest.MonkeyPatch,
    version: int,
) -> None:
    where = fresh()
    with monkeypatch.context() as patch:
        steps = migrations()[:version]
        patch.setattr(module, "migrations", lambda: steps)
        migrate(where)
    with pytest.raises(StaleSchemaError) as caught:
        record(Inbox(where, KINDS), "1")
    assert isinstance(caught.value, PermanentError)
    assert "`moderate inbox migrate`" in str(caught.value)
    assert f"version {version}, this release needs {LATEST}" in str(
        caught.value
    )


def test_a_database_without_a_schema_is_refused_with_the_command(
    postgres_server: Postgres, fresh: Callable[[], Address]
) -> None:
    where = fresh()
    postgres_server.create_database(where.conninfo.rsplit("/", 1)[1])
    with pytest.raises(StaleSchemaError, match="version 0, this release"):
        record(Inbox(where, KINDS), "1")


def test_a_newer_schema_is_refused(own_inbox: Inbox) -> None:
    """An old release must not work on tables that it does not know."""
    change(
        own_inbox.where,
        "INSERT INTO schema_version (number, name) VALUES (%(n)s, 'new')",
        n=LATEST + 1,
    )
    with pytest.raises(StaleSchemaError, match="run the newer release"):
        record(own_inbox, "1")
    assert migrate(own_inbox.where) == []


def test_a_schema_that_was_mended_is_accepted_without_a_restart(
    postgres_server: Postgres, fresh: Callable[[], Address]
) -> None:
    """The code server retries: what was refused is asked again."""
    where = fresh()
    postgres_server.create_database(where.conninfo.rsplit("/", 1)[1])
    inbox = Inbox(where, KINDS)
    with pytest.raises(StaleSchemaError):
        record(inbox, "1")
    migrate(where)
    assert len(record(inbox, "1")) == 1
    require_current_schema(where)


def test_a_server_that_is_not_there_is_told_in_one_line() -> None:
    with pytest.raises(InboxUnavailableError, match="can't be migrated") as e:
        migrate(Address("postgresql://moderate:canary@127.0.0.1:1/inbox"))
    assert "canary" not in str(e.value)
    assert "\n" not in str(e.value)


def test_a_role_that_may_not_create_the_database_is_told_so(
    postgres_server: Postgres, fresh: Callable[[], Address]
) -> None:
    where = fresh()
    role = f"role_{uuid4().hex}"
    with psycopg.connect(
        postgres_server.url("postgres"), autocommit=True
    ) as conn:
        conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'canary'".encode())
        try:
            poor = psycopg.conninfo.make_conninfo(
                where.conninfo, user=role, password="canary"
            )
            with pytest.raises(PermanentError, match="permission denied"):
                migrate(Address(poor))
        finally:
            conn.execute(f"DROP ROLE {role}".encode())
