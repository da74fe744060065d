"""What a warm process does for a run: what `dagster api execute_run` does.

Touches what Dagster keeps to itself, as there is no public way to execute a
run that exists already:

- ``_execute_run_command_body``: the body of that command, which is also what
  a Kubernetes pod executes;
- ``capture_interrupts``: which that command has around it, so that a
  cancelled run ends as cancelled;
- ``RepositoryDefinition`` by way of ``reconstruct_repository_def_from_...``:
  so that what is made of the definitions at first use is made before.
"""

import importlib
import signal
from collections.abc import Sequence

from dagster import DagsterEvent, DagsterInstance, Definitions
from dagster._cli.api import _execute_run_command_body
from dagster._utils.interrupts import capture_interrupts

USED_BY_A_RUN = (
    "dagster._core.execution.plan.execute_plan",
    "dagster._core.storage.compute_log_manager",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.root",
    "dagster_postgres",
    "moderate.dagster_storage",
    "psycopg2",
    "sqlalchemy.dialects.postgresql.psycopg2",
)
"""Modules that every run imports late."""


def preload(module: str) -> None:
    """Import the code location, and what its runs will import.

    Raises:
        TypeError: The module has no definitions.
    """
    for name in USED_BY_A_RUN:
        importlib.import_module(name)
    found = importlib.import_module(module).defs
    if not isinstance(found, Definitions):
        msg = f"{module}.defs is no Definitions"
        raise TypeError(msg)
    repository = found.get_repository_def()
    for job in repository.get_all_jobs():
        job.get_job_snapshot()


def execute(run_id: str, held: Sequence[signal.Signals]) -> int:
    """Execute a run; 0 if it ended well.

    Args:
        run_id: The run.
        held: Signals that are blocked until the run can end well.
    """
    with capture_interrupts():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
        with DagsterInstance.get() as instance:
            return _execute_run_command_body(
                run_id, instance, _ignore, set_exit_code_on_failure=True
            )


def _ignore(_: DagsterEvent) -> None:
    """Nothing: the event is in the storage already."""
