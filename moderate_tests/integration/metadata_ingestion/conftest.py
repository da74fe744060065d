"""Fresh state on the session's servers.

The ingestion's own processes are forked from one that imported the
framework: tests in one process share that cost.
"""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from dagster import DagsterInstance

from moderate.inbox.database import pool_of
from moderate.inbox.migrate import migrate
from moderate.local.ports import free_port
from moderate.local.services.open_metadata import OpenMetadata
from moderate.local.services.postgres import Postgres
from moderate.local.services.s3 import ASSETS_BUCKET, S3
from moderate.resources import inbox_address
from moderate.settings import load_settings
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.metadata_ingestion.world import (
    World,
    new_world,
)


@pytest.fixture(scope="session")
def metadata_server(services_folder: Path) -> Iterator[OpenMetadata]:
    """An OpenMetadata server; each test empties it."""
    with OpenMetadata(
        services_folder / "open-metadata",
        port=free_port(),
        secret=secrets.token_urlsafe(),
    ) as server:
        yield server


@pytest.fixture
def empty_bucket(s3: S3) -> None:
    """Take away what other tests left."""
    client = s3.client()
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=ASSETS_BUCKET
    )
    for page in pages:
        if found := page.get("Contents", []):
            client.delete_objects(
                Bucket=ASSETS_BUCKET,
                Delete={"Objects": [{"Key": each["Key"]} for each in found]},
            )


@pytest.fixture
def world(
    postgres_server: Postgres,
    s3: S3,
    metadata_server: OpenMetadata,
    empty_bucket: None,
) -> Iterator[World]:
    """The service, which sees only the databases of the test."""
    inbox = f"inbox_{uuid4().hex}"
    with ExitStack() as stack:
        instance = stack.enter_context(DagsterInstance.ephemeral())
        made = stack.enter_context(
            new_world(instance, postgres_server, s3, metadata_server)
        )
        made.wipe()
        settings = {
            **postgres_server.client_environment(),
            **s3.client_environment(),
            **metadata_server.client_environment(),
            "INBOX_DATABASE": inbox,
            "METADATA_IGNORED_DATABASES": f"(?!{made.prefix}).*",
        }
        address = inbox_address(load_settings(settings))
        migrate(address)
        stack.callback(postgres_server.drop_database, inbox)
        stack.callback(pool_of(address).close)
        stack.enter_context(environment(settings))
        yield made
