"""``python killed_run.py POINT [RUN_ID]``: a run that may be killed.

The process kills itself at the point: ``never``; ``look`` and ``found``,
before and after the look at all sources; or, of the Nth mapped step,
``begin:N``, ``written:N`` (OpenMetadata has it, we do not know yet),
``stored:N`` (we know, Dagster does not yet) and ``told:N`` (Dagster knows).
With a run's id the run is executed again from failure, as a person does who
clicks so in Dagster. Prints what became of it.
"""

import os
import signal
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    JobDefinition,
    ReexecutionOptions,
    execute_job,
    reconstructable,
)

from moderate.definitions import build_defs
from moderate.flows.metadata_ingestion import job as jobs
from moderate.flows.metadata_ingestion.ingestion import Ingestion
from moderate.inbox.metadata_sources import MetadataSources

NEVER = "never"


def job() -> JobDefinition:
    return build_defs().resolve_job_def("postgres_ingestion_job")


class Killer:
    """Counts the moments of a kind, and kills at one of them."""

    def __init__(self, point: str) -> None:
        kind, _, number = point.partition(":")
        self._kind = kind
        self._left = int(number or 1)
        self._working = Lock()

    def arm(self) -> None:
        """Wrap what happens at each kind of point."""
        self._wrap(jobs, "find", before="look", after="found")
        self._wrap(MetadataSources, "done", before="written")
        self._wrap(
            Ingestion, "perform", before="begin", after="stored", works=True
        )
        tell = DagsterInstance.handle_new_event

        def told(instance: Any, event: Any, **named: Any) -> None:
            tell(instance, event, **named)
            about = event.dagster_event
            if (
                about
                and about.event_type is DagsterEventType.STEP_SUCCESS
                and "[" in (about.step_key or "")
            ):
                # A step that is at work beside it would be torn in two.
                with self._working:
                    self._at("told")

        setattr(DagsterInstance, "handle_new_event", told)  # noqa: B010

    def _wrap(
        self,
        owner: Any,
        name: str,
        *,
        before: str,
        after: str = "",
        works: bool = False,
    ) -> None:
        inner: Callable[..., Any] = getattr(owner, name)
        lock = self._working if works else Lock()

        def wrapped(*positional: Any, **named: Any) -> Any:
            with lock:
                self._at(before)
                result = inner(*positional, **named)
                self._at(after)
            return result

        setattr(owner, name, wrapped)

    def _at(self, kind: str) -> None:
        if kind != self._kind:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main(point: str, again: str | None) -> None:
    if point != NEVER:
        Killer(point).arm()
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
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
