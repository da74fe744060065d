"""What a warm process does for a run: what `dagster api execute_run` does.

Touches what Dagster keeps to itself, as there is no public way to execute a
run that exists already:

- ``_execute_run_command_body``: the body of that command, which is also what
  a Kubernetes pod executes;
- ``capture_interrupts``: which that command has around it, so that a
  cancelled run ends as cancelled.
"""

import importlib
import signal
from collections.abc import Sequence

from dagster import (
    DagsterEvent,
    DagsterInstance,
    Definitions,
    in_process_executor,
    job,
    op,
)
from dagster._cli.api import _execute_run_command_body
from dagster._utils.interrupts import capture_interrupts

from moderate.connections import prepare_clients
from moderate.dagster_storage import let_go
from moderate.settings import process_settings

USED_BY_A_RUN = (
    "dagster._core.execution.compute_logs",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.utility_ops",
    "dagster._core.workspace.autodiscovery",
)
"""Modules that a run imports late, and that no rehearsal does."""


def preload(module: str) -> DagsterInstance:
    """Do all of a run's preparations that are the same for every run.

    Afterwards nothing is open: no connection, and no thread runs.

    Raises:
        TypeError: The module has no definitions.
    """
    for name in USED_BY_A_RUN:
        importlib.import_module(name)
    found = importlib.import_module(module).defs
    if not isinstance(found, Definitions):
        msg = f"{module}.defs is no Definitions"
        raise TypeError(msg)
    for each in found.get_repository_def().get_all_jobs():
        each.get_job_snapshot()
    prepare_clients(process_settings())
    # What Dagster imports and compiles at the first run of a process.
    _rehearsal.execute_in_process()
    instance = DagsterInstance.get()
    instance.get_runs(limit=1)
    let_go(instance)
    return instance


@op(name="rehearsal")
def _act() -> None:
    """Nothing."""


@job(name="rehearsal", executor_def=in_process_executor)
def _rehearsal() -> None:
    """A run that leaves no trace."""
    _act()


def execute(
    instance: DagsterInstance, run_id: str, held: Sequence[signal.Signals]
) -> int:
    """Execute a run; 0 if it ended well.

    Args:
        instance: Dagster, as ``preload`` made it.
        run_id: The run.
        held: Signals that are blocked until the run can end well.
    """
    with capture_interrupts():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
        return _execute_run_command_body(
            run_id, instance, _ignore, set_exit_code_on_failure=True
        )


def _ignore(_: DagsterEvent) -> None:
    """Nothing: the event is in the storage already."""
