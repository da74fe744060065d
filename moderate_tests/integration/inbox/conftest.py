"""A fresh inbox for every test, copied from a migrated template."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from moderate.inbox.database import Address, pool_of
from moderate.inbox.migrate import migrate
from moderate.inbox.store import Inbox
from moderate.local.services.postgres import Postgres
from moderate_tests.integration.inbox.world import KINDS

TEMPLATE = "inbox_template"
CONNECTIONS = 12
"""Enough for eight racing threads and those who watch them."""


@pytest.fixture(scope="session")
def inbox_template(postgres_server: Postgres) -> str:
    migrate(Address(postgres_server.url(TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def empty_address(postgres_server: Postgres) -> Iterator[Address]:
    """Where a database could be, but is not yet."""
    name = f"inbox_{uuid4().hex}"
    where = Address(postgres_server.url(name), CONNECTIONS)
    yield where
    pool_of(where).close()
    postgres_server.drop_database(name)


@pytest.fixture
def inbox_address(
    postgres_server: Postgres, inbox_template: str, empty_address: Address
) -> Address:
    """A fresh, migrated inbox of the test's own."""
    name = empty_address.conninfo.rsplit("/", 1)[1]
    postgres_server.create_database(name, template=inbox_template)
    return empty_address


@pytest.fixture
def inbox(inbox_address: Address) -> Inbox:
    return Inbox(inbox_address, KINDS)
