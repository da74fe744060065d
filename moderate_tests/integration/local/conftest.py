"""A folder for a stack."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from moderate.local.leftovers import marked_processes
from moderate_tests.integration.local.rig import await_that


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that other users may pass, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="moderate-stack-"))
    folder.chmod(0o711)
    yield folder / "local"
    await_that(lambda: not marked_processes(folder), "nothing is left")
    shutil.rmtree(folder)
