"""Real services, shared by all tests of a session and started on demand.

A service that the machine lacks skips the test on a laptop and fails it
where ``CI`` is set: ``python -m moderate.local install --tests`` brings all
of them. Whatever ends the session, also ``kill -9``, ends the services.
"""

import os
import re
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from moderate.local import install
from moderate.local.install import Requirement
from moderate.local.ports import free_port
from moderate.local.realm import SECRET_NAMES
from moderate.local.services.keycloak import Keycloak
from moderate.local.services.open_metadata import OpenMetadata
from moderate.local.services.platform_api import PlatformApi
from moderate.local.services.postgres import Postgres
from moderate.local.services.rabbitmq import RabbitMQ
from moderate.local.services.s3 import S3

LIVE = ("moderate_tests/e2e/", "moderate_tests/faults/")
SUMMARY = "summary"
HYPOTHESIS_STATS = "_hypothesis_stats"
_EXAMPLES = re.compile(r"(\d+) (?:passing|failing),")

# No test is about a machine that is too busy. Hypothesis' own "ci" tries the
# same inputs each time; `--hypothesis-profile full` tries others, and more.
hypothesis_settings.register_profile(
    "full",
    deadline=None,
    max_examples=1000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("ci")


def require(*requirements: Requirement) -> None:
    """Skip where something is missing, or fail where nothing may be."""
    if absent := install.missing(requirements):
        names = ", ".join(each.name for each in absent)
        reason = f"{names} missing: {install.install_line(absent)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


class ByService(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each worker of pytest-xdist whole files.

    What uses the live stack, which takes long to start, goes to one worker.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return LIVE[0] if is_live(file) else file


def is_live(nodeid: str) -> bool:
    """Whether a test uses the live stack."""
    return nodeid.startswith(LIVE)


def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Producer
) -> ByService:
    """Say what each worker is given."""
    return ByService(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let those of the live stack come first.

    They wait more than they work: all else is done beside them.
    """
    items.sort(key=lambda item: not is_live(item.nodeid))


@pytest.fixture
def summary(
    record_property: Callable[[str, object], None],
) -> Callable[[str], None]:
    """Adds a line to what is said at the end of the session."""
    return partial(record_property, SUMMARY)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> None:
    """Say what was searched, and how many inputs were tried."""
    reports = [
        each
        for each in chain.from_iterable(terminalreporter.stats.values())
        if isinstance(each, pytest.TestReport)
    ]
    for line in (*said_by(reports), *tried_by(reports)):
        terminalreporter.write_line(line)


def said_by(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return the lines that tests have added."""
    return [
        str(line)
        for report in reports
        if report.when == "call"  # That of the teardown has them again.
        for name, line in report.user_properties
        if name == SUMMARY
    ]


def tried_by(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """Yield how many inputs hypothesis has tried, of the fuzzed parsers too.

    Its own count, which it leaves on the report of each test's teardown.
    """
    tried = Counter[str]()
    tests = Counter[str]()
    for report in reports:
        stats = report.__dict__.get(HYPOTHESIS_STATS)
        if stats is None:
            continue
        kind = "fuzz" if "fuzz" in report.nodeid else "properties"
        tests[kind] += 1
        tried[kind] += sum(map(int, _EXAMPLES.findall(stats)))
    for kind, count in sorted(tests.items()):
        yield f"{kind}: {count} tests tried {tried[kind]} inputs"


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


@pytest.fixture(scope="session")
def open_metadata_server(services_folder: Path) -> Iterator[OpenMetadata]:
    """OpenMetadata's emulator."""
    with OpenMetadata(
        services_folder / "open-metadata",
        port=free_port(),
        secret=secrets.token_urlsafe(),
    ) as emulator:
        yield emulator


@pytest.fixture
def open_metadata(open_metadata_server: OpenMetadata) -> OpenMetadata:
    """OpenMetadata's emulator, empty and without faults."""
    open_metadata_server.start()
    open_metadata_server.reset()
    return open_metadata_server
