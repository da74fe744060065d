"""An instance for each module of tests, and databases of its own."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from moderate.inbox.database import pool_of
from moderate.inbox.migrate import migrate
from moderate.local.services.postgres import Postgres
from moderate_tests.integration.fastpath.rig import Rig, open_rig


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.services)


@pytest.fixture(scope="module")
def rig(postgres_server: Postgres) -> Iterator[Rig]:
    """Dagster with the fast path, without a worker."""
    number = uuid4().hex
    dagster, inbox = f"dagster_{number}", f"inbox_{number}"
    postgres_server.create_database(dagster)
    folder = Path(tempfile.mkdtemp(prefix="moderate-fast-"))
    with open_rig(folder, postgres_server, inbox, dagster) as found:
        migrate(found.where)
        yield found
    pool_of(found.where).close()
    for name in (dagster, inbox):
        postgres_server.drop_database(name)
    shutil.rmtree(folder)
