"""A peer to ask."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from moderate.clients.platform_api import PlatformApi
from moderate_tests.unit.clients.gateway import PASSWORD, Gateway
from moderate_tests.unit.clients.peer import Peer, serving


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as running:
        yield running


@pytest.fixture
def gateway(peer: Peer) -> Gateway:
    return Gateway(peer)


@pytest.fixture
def api(peer: Peer) -> Iterator[PlatformApi]:
    client = PlatformApi(
        peer.url,
        "workflows",
        SecretStr(PASSWORD),
    )
    with client:
        yield client
