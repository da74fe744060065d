"""A process launcher on a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from moderate.analyses.process import ProcessLauncher
from moderate_tests.unit.analyses.worker import ATTEMPT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "attempts"


@pytest.fixture
def launcher(root: Path) -> Iterator[ProcessLauncher]:
    launcher = ProcessLauncher(root)
    yield launcher
    launcher.stop(ATTEMPT)
