"""A peer to ask."""

from collections.abc import Iterator

import pytest

from moderate_tests.unit.clients.peer import Peer, serving


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as running:
        yield running
