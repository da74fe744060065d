"""Dagster is told of runs whose process is gone without a word.

Only told: what becomes of the run's item, the inbox decides, by heartbeat.
"""

from dagster import DagsterInstance

from moderate.errors import TemporaryError
from moderate.flows.ticks import CANCELLED_BY_PERSON


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
