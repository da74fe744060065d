"""The platform API under test: a live one, or the emulator."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from moderate.local.ports import free_port
from moderate.local.realm import API_ACCOUNT, USER_WITHOUT_ROLE, USERNAMES
from moderate.local.services.platform_api import PlatformApi
from moderate_tests.contract.platform_api.peer import Peer
from moderate_tests.contract.platform_api.scene import Scene, make_scene

LIVE = "MODERATE_CONTRACT_API_"
NAMES = {
    "admin": API_ACCOUNT,
    "owner": "alice",
    "other": "bob",
    "norole": USER_WITHOUT_ROLE,
}

Emulators = Callable[..., AbstractContextManager[tuple[PlatformApi, Peer]]]
StartEmulator = Callable[..., tuple[PlatformApi, Peer]]


@pytest.fixture(scope="session")
def emulators(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Emulators:
    """Runs an emulator for a while; its settings are given by name."""
    if live_url():
        pytest.skip("about the emulator alone, and a live API is given")
    realm_secrets = request.getfixturevalue("realm_secrets")
    services = {
        name: request.getfixturevalue(name)
        for name in ("keycloak", "rabbitmq", "s3")
    }
    passwords = {name: realm_secrets[f"{name}_password"] for name in USERNAMES}

    @contextmanager
    def run(**settings: str) -> Iterator[tuple[PlatformApi, Peer]]:
        options = {"control": "1"} | settings
        emulator = PlatformApi(
            tmp_path_factory.mktemp("platform-api"),
            port=free_port(),
            realm_secrets=realm_secrets,
            options={
                f"EMULATOR_{name.upper()}": value
                for name, value in options.items()
            },
            **services,
        )
        with emulator:
            peer = Peer(emulator.url, NAMES, passwords, controlled=True)
            with peer.client:
                yield emulator, peer

    return run


@pytest.fixture
def start_emulator(emulators: Emulators) -> Iterator[StartEmulator]:
    """Start emulators that run until the test ends."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(emulators(**settings))


@pytest.fixture(scope="session")
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """The platform API under test."""
    url = live_url()
    if not url:
        emulators: Emulators = request.getfixturevalue("emulators")
        with emulators() as (_, emulated):
            yield emulated
        return
    username = os.environ[f"{LIVE}USERNAME"]
    live = Peer(
        url,
        {"admin": username, "owner": username},
        {username: os.environ[f"{LIVE}PASSWORD"]},
        controlled=False,
    )
    with live.client:
        yield live


@pytest.fixture(scope="session")
def scene(peer: Peer) -> Scene:
    return make_scene(peer)


def live_url() -> str | None:
    return os.environ.get(f"{LIVE}URL")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.services)
