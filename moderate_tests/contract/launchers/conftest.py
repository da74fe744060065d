"""The launchers under test. Each case runs on each of them."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from moderate.analyses.process import ProcessLauncher
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


def process_rig(folder: Path) -> ProcessRig:
    evidence = folder / "evidence"
    evidence.mkdir()
    return ProcessRig(evidence, folder / "attempts")


RIGS: Mapping[str, MakeRig] = MappingProxyType({"process": process_rig})


@pytest.fixture(params=sorted(RIGS))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A place to run programs, on one of the launchers."""
    bench = Bench(RIGS[request.param](tmp_path))
    yield bench
    bench.close()
