"""The live service, and the failpoints of its processes."""

from collections.abc import Iterator

import pytest

from moderate_tests.e2e.conftest import live
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import FAILPOINTS
from moderate_tests.faults.failpoints import Failpoints

__all__ = ["live"]


@pytest.fixture
def failpoints(live: Live) -> Iterator[Failpoints]:
    """The failpoints of the live service, disarmed in the end."""
    points = Failpoints(live.stack.root / FAILPOINTS)
    yield points
    points.disarm()
