"""The live service, and the failpoints of its processes."""

from collections.abc import Iterator

import pytest

from moderate_tests.e2e.conftest import live, way
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import FAILPOINTS
from moderate_tests.faults.failpoints import Failpoints
from moderate_tests.faults.verdict import VERDICTS

__all__ = ["live", "way"]

SUMMARY = "summary"
"""Property of a test whose text is shown in the summary of all."""


@pytest.fixture
def failpoints(live: Live) -> Iterator[Failpoints]:
    """The failpoints of the live service, disarmed in the end."""
    points = Failpoints(live.stack.root / FAILPOINTS)
    yield points
    points.disarm()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what the seeded kills came to, whatever is captured."""
    for verdict in config.stash.get(VERDICTS, []):
        terminalreporter.write_line(str(verdict))
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == SUMMARY and report.when == "call":
                terminalreporter.write_line(f"{report.nodeid}: {text}")
