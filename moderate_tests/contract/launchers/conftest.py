"""The launchers under test. Each case runs on each of them."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from moderate.analyses.process import ProcessLauncher
from moderate_tests.contract.launchers.kubernetes_rig import (
    NEEDS_CLUSTER,
    kubernetes_rig,
    real_cluster_rig,
)
from moderate_tests.contract.launchers.rig import Bench, MakeRig


@dataclass(frozen=True)
class ProcessRig:
    """Analyses as processes of this machine."""

    evidence: Path
    root: Path

    def launcher(self) -> ProcessLauncher:
        """Return a launcher as one more worker would have it."""
        return ProcessLauncher(self.root)

    def python(self, source: str) -> tuple[str, ...]:
        """Return the command that runs a Python program."""
        return (sys.executable, "-I", "-S", "-c", source)

    def close(self) -> None:
        """Nothing is there beside the attempts."""


def process_rig(folder: Path) -> ProcessRig:
    evidence = folder / "evidence"
    evidence.mkdir()
    return ProcessRig(evidence, folder / "attempts")


RIGS: Mapping[str, MakeRig] = MappingProxyType(
    {
        "kubernetes": kubernetes_rig,
        "process": process_rig,
        "real_cluster": real_cluster_rig,
    }
)
PARAMS = [
    "kubernetes",
    "process",
    pytest.param("real_cluster", marks=[pytest.mark.k8s, NEEDS_CLUSTER]),
]


@pytest.fixture(params=PARAMS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A place to run programs, on one of the launchers."""
    bench = Bench(RIGS[request.param](tmp_path))
    yield bench
    bench.close()
