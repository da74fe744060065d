"""Tells a webhook how runs of data services ended; off until switched on."""

from collections.abc import Callable, Sequence
from typing import Any

from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    JobDefinition,
    RunStatusSensorContext,
    SensorDefinition,
    SkipReason,
    run_status_sensor,
)

from moderate.connections import webhook_of
from moderate.flows.data_services.simpl_log import BUSINESS_OPERATION
from moderate.resources import redactor
from moderate.settings import process_settings

WATCHED = {
    "notify_success": DagsterRunStatus.SUCCESS,
    "notify_failure": DagsterRunStatus.FAILURE,
    "notify_canceled": DagsterRunStatus.CANCELED,
}


def notice_of(context: RunStatusSensorContext) -> dict[str, Any]:
    """Return what the webhook is told of a run; no configuration, no data."""
    run = context.dagster_run
    said = context.dagster_event.message or ""
    text = f"{run.job_name} {run.status.value.lower()}: run {run.run_id}"
    return {
        "text": text,
        "status": run.status.value,
        "job": run.job_name,
        "run_id": run.run_id,
        "business_operation": run.tags.get(BUSINESS_OPERATION),
        "message": redactor().redact(said.splitlines()[0] if said else ""),
    }


def _tell(context: RunStatusSensorContext) -> SkipReason | None:
    settings = process_settings().notifications
    if settings is None:
        return SkipReason("nobody to tell: set NOTIFY_WEBHOOK_URL")
    webhook_of(settings).post(notice_of(context))
    return None


def sensors(jobs: Sequence[JobDefinition]) -> list[SensorDefinition]:
    """Return a sensor for each way in which a run ends.

    Args:
        jobs: Those whose runs are watched.
    """
    return [_sensor(name, WATCHED[name], jobs) for name in WATCHED]


def _sensor(
    name: str, status: DagsterRunStatus, jobs: Sequence[JobDefinition]
) -> SensorDefinition:
    make: Callable[..., SensorDefinition] = run_status_sensor(
        run_status=status,
        name=name,
        description=f"Tells a webhook of runs that end {status.value}.",
        monitored_jobs=list(jobs),
        default_status=DefaultSensorStatus.STOPPED,
    )
    return make(_tell)
