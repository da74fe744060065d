"""A process launcher on a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from moderate.analyses.process import ProcessLauncher
from moderate_tests.kubernetes.cluster import TestCluster
from moderate_tests.unit.analyses.kubernetes_bench import KubernetesBench
from moderate_tests.unit.analyses.worker import ATTEMPT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "attempts"


@pytest.fixture
def launcher(root: Path) -> Iterator[ProcessLauncher]:
    launcher = ProcessLauncher(root)
    yield launcher
    launcher.stop(ATTEMPT)


@pytest.fixture
def kubernetes(tmp_path: Path) -> Iterator[KubernetesBench]:
    node = tmp_path / "node"
    node.mkdir()
    bench = KubernetesBench(TestCluster(node), tmp_path)
    yield bench
    bench.close()
