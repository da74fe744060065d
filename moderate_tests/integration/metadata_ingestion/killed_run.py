"""``python killed_run.py KILL_AFTER [RUN_ID]``: a run that may be killed.

The process kills itself when ``KILL_AFTER`` steps have been remembered
(negative: never). With a run's id the run is executed again from failure, as
a person does who clicks so in Dagster. Prints what became of it.
"""

import os
import signal
import sys
from typing import Any

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    JobDefinition,
    ReexecutionOptions,
    execute_job,
    reconstructable,
)

from moderate.definitions import build_defs
from moderate.flows.metadata_ingestion.ingestion import Ingestion, Report

NEVER = -1


def job() -> JobDefinition:
    return build_defs().resolve_job_def("postgres_ingestion_job")


def kill_after(steps: int) -> None:
    perform = Ingestion.perform
    left = steps

    def counted(self: Ingestion, *arguments: Any) -> Report:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return perform(self, *arguments)

    setattr(Ingestion, "perform", counted)  # noqa: B010


def main(kill: int, again: str | None) -> None:
    if kill != NEVER:
        kill_after(kill)
    with DagsterInstance.get() as instance:
        options = None
        if again:
            killed = instance.get_run_by_id(again)
            assert killed
            if killed.status is not DagsterRunStatus.FAILURE:
                instance.report_run_failed(killed)  # As its monitor does.
            options = ReexecutionOptions.from_failure(again, instance)
        result = execute_job(
            reconstructable(job),
            instance=instance,
            reexecution_options=options,
        )
        sys.stdout.write(f"success {result.success}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
