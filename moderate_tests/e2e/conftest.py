"""The live service, whole again before each test."""

from collections.abc import Iterator

import pytest

from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import shared_live
from moderate_tests.faults.workload import Evidence


@pytest.fixture
def live(pytestconfig: pytest.Config) -> Iterator[Live]:
    """The session's service: all parts run, no fault is on."""
    service = shared_live(pytestconfig)
    yield service
    # What a failed test has left at work must not fail the next one.
    Evidence(service.stack.root).release()
