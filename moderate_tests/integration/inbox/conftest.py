"""A fresh inbox for every test, copied from a migrated template."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from moderate.inbox.database import Address, pool_of
from moderate.inbox.migrate import migrate
from moderate.inbox.store import Inbox
from moderate.local.services.postgres import Postgres
from moderate_tests.integration.inbox.world import KINDS, change


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.services)


TEMPLATE = "inbox_template"
CONNECTIONS = 12
"""Enough for eight racing threads and those who watch them."""


@pytest.fixture(scope="session")
def inbox_template(postgres_server: Postgres) -> str:
    migrate(Address(postgres_server.url(TEMPLATE)))
    return TEMPLATE


@pytest.fixture(scope="session")
def common_address(
    postgres_server: Postgres, inbox_template: str
) -> Iterator[Address]:
    """One inbox for the many tests that change nothing but rows."""
    where = copy_of_template(postgres_server)
    yield where
    pool_of(where).close()


@pytest.fixture
def inbox_address(common_address: Address) -> Address:
    """An empty, migrated inbox.

    Emptying one takes some milliseconds, where a copy of the template takes
    some hundred.
    """
    change(
        common_address,
        "SET lock_timeout = '10s';"
        " TRUNCATE work_item, batch, cursor, peer_slot, audit"
        " RESTART IDENTITY",
    )
    return common_address


@pytest.fixture
def own_address(
    postgres_server: Postgres, inbox_template: str
) -> Iterator[Address]:
    """An inbox for a test that changes more than rows."""
    where = copy_of_template(postgres_server)
    yield where
    pool_of(where).close()
    postgres_server.drop_database(where.conninfo.rsplit("/", 1)[1])


def copy_of_template(server: Postgres) -> Address:
    name = f"inbox_{uuid4().hex}"
    server.create_database(name, template=TEMPLATE)
    return Address(server.url(name), CONNECTIONS)


@pytest.fixture
def inbox(inbox_address: Address) -> Inbox:
    return Inbox(inbox_address, KINDS)


@pytest.fixture
def own_inbox(own_address: Address) -> Inbox:
    return Inbox(own_address, KINDS)
