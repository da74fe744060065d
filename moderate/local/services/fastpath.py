"""The fast path: the intake and a worker, beside the rest of Dagster."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from moderate.local.ports import LOOPBACK
from moderate.local.process import Process
from moderate.local.services.dagster import (
    CODE_MODULE,
    START_TIMEOUT_SECONDS,
    CodeServer,
    DagsterPart,
)

INSTANCE = """
# The fast path: runs of the inbox go to warm workers.
run_launcher:
  module: moderate.fastpath.launcher
  class: ByTagRunLauncher
"""
"""What the instance's settings have with it."""

ENVIRONMENT = {
    "FAST_PATH": "true",
    # Whoever stops a stack at hand does not wait for analyses.
    "WORKER_DRAIN_SECONDS": "2",
}
FRESH_SECONDS = 4.0
COMMAND = (sys.executable, "-c", "from moderate.cli import main; main()")


class FastPart(DagsterPart):
    """What both processes have in common: they touch a file while well."""

    def prepare(self) -> None:
        """Also forget the last sign of life."""
        super().prepare()
        self._sign.unlink(missing_ok=True)

    def _is_well(self) -> bool:
        try:
            touched = self._sign.stat().st_mtime
        except FileNotFoundError:
            return False
        return time.time() - touched < FRESH_SECONDS

    @property
    def _sign(self) -> Path:
        return self.folder / "alive"

    def _touching(self, *arguments: str) -> Process:
        return Process(
            self.name,
            [*COMMAND, *arguments, "--alive-file", str(self._sign)],
            environment=self.dagster_environment(),
            folder=self.folder,
            log=self.log,
            ready=self._is_well,
            start_timeout=START_TIMEOUT_SECONDS,
            spares_sessions=True,
            cancelled=self.cancelled,
        )


class Worker(FastPart):
    """Begins runs from a process that has the code loaded.

    Args:
        folder: See ``DagsterPart``.
        home: See ``DagsterPart``.
        environment: See ``DagsterPart``.
        module: The Python module of the definitions.
        log: See ``DagsterPart``.
    """

    name = "worker"

    def __init__(
        self,
        folder: Path,
        *,
        home: Path,
        environment: Mapping[str, str],
        module: str = CODE_MODULE,
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, home=home, environment=environment, log=log)
        self._module = module

    def make_process(self) -> Process:
        """The worker."""
        return self._touching("worker", "--module", self._module)


class Intake(FastPart):
    """Takes messages as they come, and submits the runs.

    Args:
        folder: See ``DagsterPart``.
        code_server: Whose jobs it submits.
        home: See ``DagsterPart``.
        environment: See ``DagsterPart``.
        log: See ``DagsterPart``.
    """

    name = "intake"

    def __init__(
        self,
        folder: Path,
        *,
        code_server: CodeServer,
        home: Path,
        environment: Mapping[str, str],
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, home=home, environment=environment, log=log)
        self._code_server = code_server

    def make_process(self) -> Process:
        """The intake."""
        where = f"{LOOPBACK}:{self._code_server.port}"
        return self._touching("intake", "--code-server", where)
