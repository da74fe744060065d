"""The server under test: a live one, or the emulator."""

import os
from collections.abc import Iterator

import httpx
import pytest

from moderate.local.services.open_metadata import OpenMetadata
from moderate_tests.contract.open_metadata.peer import PREFIX, Peer

LIVE = "MODERATE_CONTRACT_OPEN_METADATA_"
TIMEOUT_SECONDS = 60


@pytest.fixture(scope="session")
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """The server under test; a live one is left as it was found."""
    url = os.environ.get(f"{LIVE}URL")
    if url:
        token = os.environ[f"{LIVE}TOKEN"]
    else:
        server: OpenMetadata = request.getfixturevalue("open_metadata_server")
        url, token = server.url, server.token
    with connect(url, token) as client, connect(url) as stranger:
        peer = Peer(client, stranger, token, live=f"{LIVE}URL" in os.environ)
        yield peer
        if peer.live:
            remove_services(peer)


@pytest.fixture
def emulator(open_metadata: OpenMetadata) -> OpenMetadata:
    """The emulator, where no live server is given."""
    if f"{LIVE}URL" in os.environ:
        pytest.skip("about the emulator alone, and a live server is given")
    return open_metadata


def connect(url: str, token: str | None = None) -> httpx.Client:
    """A client that no proxy of the environment stands before."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(
        base_url=url,
        headers=headers,
        timeout=TIMEOUT_SECONDS,
        trust_env=False,
    )


def remove_services(peer: Peer) -> None:
    """Delete every service that a test may have made."""
    found = peer.get("services/databaseServices", limit=1_000).json()
    for service in found["data"]:
        if service["name"].startswith(PREFIX):
            peer.delete(
                f"services/databaseServices/{service['id']}",
                recursive="true",
                hardDelete="true",
            )
