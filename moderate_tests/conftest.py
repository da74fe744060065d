"""Real services, shared by all tests of a session and started on demand.

A service that the machine lacks skips the test on a laptop and fails it
where ``CI`` is set: ``python -m moderate.local install --tests`` brings all
of them. Whatever ends the session, also ``kill -9``, ends the services.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from moderate.local import install
from moderate.local.install import Requirement
from moderate.local.ports import free_port
from moderate.local.realm import SECRET_NAMES
from moderate.local.services.keycloak import Keycloak
from moderate.local.services.platform_api import PlatformApi
from moderate.local.services.postgres import Postgres
from moderate.local.services.rabbitmq import RabbitMQ
from moderate.local.services.s3 import S3

GROUP = "xdist_group"


def require(*requirements: Requirement) -> None:
    """Skip where something is missing, or fail where nothing may be."""
    if absent := install.missing(requirements):
        names = ", ".join(each.name for each in absent)
        reason = f"{names} missing: {install.install_line(absent)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in this hook too.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what a worker of pytest-xdist must not share with another.

    A file goes to one worker, as its fixtures are made once for a module.
    What shares the live stack waits more than it works: it comes first, so
    that all else is done beside it.
    """
    for item in items:
        if item.get_closest_marker(GROUP) is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
    items.sort(key=lambda item: not is_in_group(item, "live"))


def is_in_group(item: pytest.Item, name: str) -> bool:
    """Whether a test is in a group of ``xdist_group``."""
    group = item.get_closest_marker(GROUP)
    return group is not None and group.args[0] == name


@pytest.fixture(scope="session")
def services_folder() -> Iterator[Path]:
    """Where the session's services keep what they write.

    Not below pytest's own folder: that is closed to other users, and
    Postgres does not run as root.
    """
    folder = Path(tempfile.mkdtemp(prefix="moderate-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def realm_secrets() -> dict[str, str]:
    """The passwords of the realm's users and its client's secret."""
    return {name: secrets.token_urlsafe() for name in SECRET_NAMES}


@pytest.fixture(scope="session")
def postgres_server(services_folder: Path) -> Iterator[Postgres]:
    """A Postgres server; tests take a database of their own in it."""
    require(install.POSTGRES)
    with Postgres(
        services_folder / "postgres",
        port=free_port(),
        password=secrets.token_urlsafe(),
        durable=False,
    ) as server:
        yield server


@pytest.fixture
def database_url(postgres_server: Postgres) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    name = f"test_{uuid4().hex}"
    postgres_server.create_database(name)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def rabbitmq(services_folder: Path) -> Iterator[RabbitMQ]:
    """A RabbitMQ broker; tests take queue names of their own."""
    require(install.RABBITMQ)
    with RabbitMQ(
        services_folder / "rabbitmq",
        port=free_port(),
        distribution_port=free_port(),
        mapper_port=free_port(),
        password=secrets.token_urlsafe(),
    ) as broker:
        yield broker


@pytest.fixture(scope="session")
def s3(services_folder: Path) -> Iterator[S3]:
    """An S3 server with the platform's two buckets."""
    with S3(
        services_folder / "s3",
        port=free_port(),
        access_key="test-access-key",
        secret_key=secrets.token_urlsafe(),
    ) as server:
        yield server


@pytest.fixture(scope="session")
def keycloak(
    services_folder: Path, realm_secrets: dict[str, str]
) -> Iterator[Keycloak]:
    """A Keycloak server with the platform's realm; it takes 15 s to start."""
    require(install.JAVA, install.MAVEN)
    with Keycloak(
        services_folder / "keycloak",
        port=free_port(),
        admin_password=secrets.token_urlsafe(),
        realm_secrets=realm_secrets,
    ) as server:
        yield server


@pytest.fixture(scope="session")
def platform_api(
    services_folder: Path,
    realm_secrets: dict[str, str],
    keycloak: Keycloak,
    rabbitmq: RabbitMQ,
    s3: S3,
) -> Iterator[PlatformApi]:
    """The platform API's emulator, with its control routes on."""
    with PlatformApi(
        services_folder / "platform-api",
        port=free_port(),
        keycloak=keycloak,
        rabbitmq=rabbitmq,
        s3=s3,
        realm_secrets=realm_secrets,
        options={
            "EMULATOR_CONTROL": "true",
            "EMULATOR_JOB_DEBOUNCE_SECONDS": "0",
        },
    ) as emulator:
        yield emulator
