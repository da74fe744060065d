"""Dagster is told of runs whose process is gone without a word.

Only told: what becomes of the run's item, the inbox decides, by heartbeat.
"""

import signal
from contextlib import suppress
from datetime import timedelta

from dagster import DagsterInstance

from moderate.errors import TemporaryError
from moderate.flows.ticks import CANCELLED_BY_PERSON
from moderate.inbox.warm_runs import WarmRuns

SILENCE = timedelta(seconds=6)
"""Without a sign of life, after which a worker is given up: within 10 s of
its death, as others look every two seconds."""

DIED = "The process of this run ended without a word ({how})."
LOST = "The worker of this run is gone, and its process with it."


class DagsterUnavailableError(TemporaryError):
    """Dagster's storage can't be reached."""


def tell_end(instance: DagsterInstance, run_id: str, why: str) -> str:
    """Mark a run as ended, if it is not; return what it ended as.

    Twice is harmless: a run that has ended is left alone.

    Raises:
        DagsterUnavailableError: Its storage can't be reached.
    """
    try:
        return _tell(instance, run_id, why)
    except Exception as error:  # its storage's own errors, of any library
        msg = f"Dagster's storage failed: {type(error).__name__}"
        raise DagsterUnavailableError(msg) from error


def _tell(instance: DagsterInstance, run_id: str, why: str) -> str:
    run = instance.get_run_by_id(run_id)
    if run is None:
        return "deleted"
    if run.is_finished:
        return run.status.value.lower()
    if run.status in CANCELLED_BY_PERSON:
        instance.report_run_canceled(run, why)
        return "canceled"
    instance.report_run_failed(run, why)
    return "failure"


def settle_lost(runs: WarmRuns, instance: DagsterInstance) -> int:
    """Tell Dagster of the runs of workers that are gone; return how many.

    Raises:
        TemporaryError: The inbox or Dagster's storage can't be reached.
    """
    with runs.lost(SILENCE) as lost:
        for run_id in lost:
            tell_end(instance, run_id, LOST)
    return len(lost)


def death(exit_code: int) -> str:
    """Say in a sentence how a run's process ended."""
    how = f"exit code {exit_code}"
    if exit_code < 0:
        with suppress(ValueError):  # a signal without a name
            how = f"signal {signal.Signals(-exit_code).name}"
    return DIED.format(how=how)
