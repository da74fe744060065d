"""The live service, whole again before each test."""

from collections.abc import Iterator

import pytest

from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import shared_live
from moderate_tests.e2e.ways import BOTH, Way
from moderate_tests.faults.workload import Evidence


@pytest.fixture(scope="session", params=BOTH)
def way(request: pytest.FixtureRequest) -> Way:
    """How the service's runs come to be begun; all of one way in a row."""
    return Way(request.param)


@pytest.fixture
def live(pytestconfig: pytest.Config, way: Way) -> Iterator[Live]:
    """The session's service: all parts run, no fault is on."""
    service = shared_live(pytestconfig, way)
    yield service
    _finish(service)


def _finish(service: Live) -> None:
    """Let what a failed test has left come to its end, for the next one."""
    evidence = Evidence(service.stack.root)

    def is_settled() -> bool:
        evidence.release()  # Some may only just have begun.
        return service.is_settled([])

    for part in service.stack.parts:
        part.start()
    service.faults()
    service.until(is_settled, "nothing is left of the test")
