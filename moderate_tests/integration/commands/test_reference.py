"""``migrate-from-reference`` on a dump of the reference's state."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from moderate.clients.keycloak import KeycloakUser
from moderate.connections import inbox_address
from moderate.flows.platform_tasks.dids import USER_DID, item_of_user
from moderate.inbox import admin
from moderate.inbox.model import NewItem, State
from moderate.inbox.reference_uploads import ReferenceUpload, uploads_of
from moderate.inbox.store import Inbox
from moderate.local.services.postgres import Postgres
from moderate.reference import TABLE
from moderate.settings import load_settings
from moderate_tests.integration.commands.conftest import (
    Command,
    Said,
    record,
)

pytestmark = pytest.mark.services

DUMP = Path(__file__).with_name("reference_state.sql")
ROWS = 13
LEFT_OUT = {5, 6, 7, 8, 9, 10, 11, 12, 13}


@pytest.fixture
def source(postgres_server: Postgres) -> Iterator[str]:
    """A database with the dump in it; its name."""
    name = f"reference_{uuid4().hex}"
    postgres_server.create_database(name)
    change(postgres_server, name, DUMP.read_text())
    yield name
    postgres_server.drop_database(name)


def change(server: Postgres, database: str, sql: str) -> None:
    with psycopg.connect(server.url(database)) as conn:
        conn.execute(sql.encode())


def content(server: Postgres, database: str) -> list[Any]:
    with psycopg.connect(server.url(database)) as conn:
        found = conn.execute(f"SELECT * FROM {TABLE} ORDER BY id".encode())
        return found.fetchall()


def migrate(moderate: Command, source: str, *more: str) -> Said:
    return moderate("migrate-from-reference", "--database", source, *more)


def users(inbox: Inbox) -> dict[str, State]:
    with inbox.transaction() as conn:
        found = admin.list_items(conn, kind=USER_DID)
    return {item.key: item.state for item in found}


def test_nothing_is_written_before_it_is_asked_for(
    moderate: Command, inbox: Inbox, source: str
) -> None:
    said = migrate(moderate, source)
    assert said.code == 0, said.err
    assert "users with a DID: 2 taken over" in said.out
    assert "nothing was written" in said.out
    assert users(inbox) == {}
    address = inbox_address(load_settings())
    assert uploads_of(address, "building_stock") == []


def test_users_are_done_and_uploads_remembered(
    moderate: Command,
    inbox: Inbox,
    source: str,
    postgres_server: Postgres,
) -> None:
    before = content(postgres_server, source)
    said = migrate(moderate, source, "--apply")
    assert said.code == 0, said.err
    assert users(inbox) == {"alice": State.DONE, "b:o b/ü": State.DONE}
    with inbox.transaction() as conn:
        item = admin.find_item(conn, USER_DID, "alice")
    assert item is not None
    assert item.outcome is not None
    at = "2024-05-02T10:11:12.131415+00:00"
    assert item.outcome["registered_at"] == at
    address = inbox_address(load_settings())
    assert uploads_of(address, "building_stock") == [
        ReferenceUpload(
            "building_stock",
            "1-dynamic-analysis-cases",
            "ae63ae3f35ba44c4fde46998af7b4e19621ecf81",
        )
    ]
    (genome,) = uploads_of(address, "genome_project_datasets")
    assert genome.name == "weather-weather"
    assert content(postgres_server, source) == before, "only read"


def test_every_row_is_accounted_for(
    moderate: Command, inbox: Inbox, source: str
) -> None:
    said = migrate(moderate, source, "--json")
    told = json.loads(said.out)
    left = {each["row"]: each["why"] for each in told["plan"]["left_out"]}
    assert set(left) == LEFT_OUT
    assert all(left.values())
    taken = told["taken"]["users"] + told["taken"]["uploads"]
    assert taken + len(left) == ROWS
    text = migrate(moderate, source).out
    assert "row 8, 'user-trust-did:erin': the value is not a time" in text


def test_it_may_be_repeated(
    moderate: Command,
    inbox: Inbox,
    source: str,
    postgres_server: Postgres,
) -> None:
    """The reference may have gone on in between."""
    migrate(moderate, source, "--apply")
    again = migrate(moderate, source, "--apply")
    assert "users with a DID: 0 taken over, 2 known already" in again.out
    assert "uploads: 0 taken over, 2 known already" in again.out
    newer = "f" * 40
    change(
        postgres_server,
        source,
        f"UPDATE {TABLE} SET value = '{newer}' WHERE id = 3;"
        f"INSERT INTO {TABLE} VALUES (14, 'user-trust-did:zoe',"
        " '2025-01-01T00:00:00')",
    )
    onward = migrate(moderate, source, "--apply")
    assert "users with a DID: 1 taken over, 2 known already" in onward.out
    assert "uploads: 1 taken over, 1 known already" in onward.out
    address = inbox_address(load_settings())
    (upload,) = uploads_of(address, "building_stock")
    assert upload.commit_id == newer


def test_an_item_that_is_there_is_left_as_it_is(
    moderate: Command, inbox: Inbox, source: str
) -> None:
    """A run may be at work on it; asking twice for a DID is harmless."""
    alice = KeycloakUser(id="1", username="alice", createdTimestamp=1)
    record(inbox, item_of_user(alice))
    said = migrate(moderate, source, "--apply")
    assert "1 taken over, 0 known already, 1 left as they are" in said.out
    assert "alice: its item is pending" in said.out
    assert users(inbox)["alice"] is State.PENDING


def test_a_row_that_is_no_text_does_not_hide_the_others(
    moderate: Command, inbox: Inbox, postgres_server: Postgres
) -> None:
    """A database in no encoding takes any bytes."""
    name = f"reference_{uuid4().hex}"
    url = postgres_server.url("postgres")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C'"
            " TEMPLATE template0".encode()
        )
    try:
        change(postgres_server, name, DUMP.read_text())
        change(
            postgres_server,
            name,
            f"INSERT INTO {TABLE} VALUES (14, E'user-trust-did:\\xff', 'x')",
        )
        said = migrate(moderate, name, "--apply")
        assert said.code == 0, said.err
        assert "row 14" in said.out
        assert set(users(inbox)) == {"alice", "b:o b/ü"}
    finally:
        postgres_server.drop_database(name)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("", "does not exist"),
        (f"DROP TABLE {TABLE}", TABLE),
        (f"ALTER TABLE {TABLE} RENAME value TO val", "value"),
    ],
)
def test_a_source_that_cannot_be_read_is_an_error_in_a_line(
    moderate: Command,
    inbox: Inbox,
    source: str,
    postgres_server: Postgres,
    broken: str,
    says: str,
) -> None:
    if broken:
        change(postgres_server, source, broken)
    said = migrate(moderate, source if broken else "nowhere", "--apply")
    assert said.code == 1
    assert says in said.err
    assert said.err.count("\n") == 1
    assert users(inbox) == {}


def test_all_of_it_is_taken_over_or_nothing(
    moderate: Command, inbox: Inbox, source: str
) -> None:
    """The last statement fails: the first ones are taken back."""
    with inbox.transaction() as conn:
        conn.execute(b"ALTER TABLE reference_upload ADD CHECK (false)")
    with pytest.raises(psycopg.errors.CheckViolation):
        migrate(moderate, source, "--apply")
    assert users(inbox) == {}


def test_ten_thousand_users_take_a_moment(
    moderate: Command, inbox: Inbox, source: str, postgres_server: Postgres
) -> None:
    """No statement per user."""
    change(
        postgres_server,
        source,
        f"INSERT INTO {TABLE} SELECT n, 'user-trust-did:user' || n,"
        " '2025-01-01T00:00:00' FROM generate_series(100, 10099) AS n",
    )
    said = migrate(moderate, source, "--apply")
    assert "users with a DID: 10002 taken over" in said.out
    with inbox.transaction() as conn:
        inbox.record(conn, [NewItem(USER_DID, "user100", {})])
        (count,) = [c for c in admin.count_items(conn) if c.kind == USER_DID]
    assert (count.state, count.items) == (State.DONE, 10_002)
