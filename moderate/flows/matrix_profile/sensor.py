"""The sensors: messages in, runs out; and, slowly, what was lost or left."""

import time
from datetime import timedelta
from functools import partial

from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from moderate.clients.platform_models import Job
from moderate.errors import TemporaryError
from moderate.flows.matrix_profile import messages, reconcile, results
from moderate.flows.matrix_profile.intake import describe, take_messages
from moderate.flows.matrix_profile.job import (
    analysis_request,
    matrix_profile_job,
    platform_job_results_job,
    results_request,
)
from moderate.flows.matrix_profile.kinds import FLOW
from moderate.flows.matrix_profile.leftovers import end_leftovers
from moderate.flows.matrix_profile.wiring import analysis_of, source_of
from moderate.flows.sensing import Intake, tick
from moderate.flows.ticks import deadline, whole_seconds
from moderate.inbox.cursors import advance_cursor, read_cursor
from moderate.inbox.database import InboxUnavailableError, server_now
from moderate.inbox.store import Inbox
from moderate.resources import (
    InboxSource,
    PlatformApiResource,
    RabbitResource,
    S3Resource,
    redactor,
)
from moderate.settings import LauncherName, process_settings

MAKERS = {
    messages.KIND: analysis_request,
    results.KIND: results_request,
}
LEFTOVERS_INTERVAL = timedelta(seconds=30)
JOBS_PER_WALK = 500
"""Jobs that one reconcile asks for; each read opens an S3 client at the
platform API and takes 0.15 to 1.2 s there."""


_SERVICE = process_settings().service
_FLOW = process_settings().matrix_profile


@sensor(
    name="matrix_profile_messages_sensor",
    jobs=[matrix_profile_job, platform_job_results_job],
    minimum_interval_seconds=whole_seconds(_SERVICE.sensor_interval),
    default_status=DefaultSensorStatus.RUNNING,
    description="Takes job messages from RabbitMQ into the inbox and starts"
    " runs for what is due.",
)
def matrix_profile_messages_sensor(
    context: SensorEvaluationContext,
    inbox: ResourceParam[InboxSource],
    rabbit: RabbitResource,
) -> SensorResult | SkipReason:
    """Take messages, settle, dispatch, request runs."""
    settings = process_settings()
    flow = settings.flow(FLOW)
    if not flow.is_on:
        return SkipReason(flow.why_off())
    store = inbox.open()
    return tick(context, store, lambda: _intake(store, rabbit), MAKERS)


def _intake(store: Inbox, rabbit: RabbitResource) -> Intake:
    """Take messages; a broker that is down must not stop what is due."""
    settings = process_settings()
    begun = time.monotonic()
    try:
        taken = take_messages(
            rabbit.client(),
            store,
            source_of(settings),
            in_time=deadline(settings.service.tick_budget),
        )
    except InboxUnavailableError:
        raise  # nothing else can be done without it either
    except TemporaryError as error:
        # The cause is a peer, named in the text; a traceback adds nothing.
        trouble = TemporaryError(redactor().redact(str(error)))
        return Intake(f"no messages taken: {trouble}", trouble=trouble)
    seconds = timedelta(seconds=time.monotonic() - begun)
    return Intake(describe(taken, seconds), is_news=taken.read > 0)


@sensor(
    name="matrix_profile_reconcile_sensor",
    jobs=[matrix_profile_job],
    minimum_interval_seconds=whole_seconds(_FLOW.reconcile_interval),
    default_status=DefaultSensorStatus.RUNNING,
    description="Finds open jobs of the platform whose message was lost.",
)
def matrix_profile_reconcile_sensor(
    inbox: ResourceParam[InboxSource],
    platform_api: PlatformApiResource,
) -> SkipReason:
    """Walk the platform's jobs upward from the cursor."""
    settings = process_settings()
    flow = settings.flow(FLOW)
    if not flow.is_on:
        return SkipReason(flow.why_off())
    store, api = inbox.open(), platform_api.client()
    with store.transaction() as conn:
        cursor = read_cursor(conn, reconcile.CURSOR, reconcile.Position())
        now = server_now(conn)
    found = reconcile.walk(
        api,
        cursor.value,
        is_known=partial(_is_known, store),
        now=now,
        grace=settings.matrix_profile.reconcile_grace,
        limit=JOBS_PER_WALK,
        in_time=deadline(settings.service.tick_budget),
    )
    with store.transaction() as conn:
        store.record(conn, found.lost)
        if found.position != cursor.value:
            advance_cursor(conn, cursor, found.position)
    return SkipReason(
        f"asked for {found.asked} jobs, found {len(found.lost)} lost;"
        f" all below id {found.position.next_id} are settled"
    )


def _is_known(store: Inbox, job: Job) -> bool:
    with store.transaction() as conn:
        return bool(store.known_keys(conn, messages.KIND, [str(job.id)]))


@sensor(
    name="matrix_profile_leftovers_sensor",
    minimum_interval_seconds=whole_seconds(LEFTOVERS_INTERVAL),
    default_status=DefaultSensorStatus.RUNNING,
    description="Ends analyses whose item is over, and removes their traces.",
)
def matrix_profile_leftovers_sensor(
    inbox: ResourceParam[InboxSource],
    s3_object_storage: S3Resource,
) -> SkipReason:
    """Look at all attempts that left traces."""
    settings = process_settings()
    flow = settings.flow(FLOW)
    if not flow.is_on:
        return SkipReason(flow.why_off())
    swept = end_leftovers(
        analysis_of(settings, s3_object_storage, job={}),
        inbox.open(),
        all_are_ours=settings.analyses.launcher is LauncherName.KUBERNETES,
        in_time=deadline(settings.service.tick_budget),
    )
    return SkipReason(
        f"ended {len(swept.ended)} analyses that nobody waits for;"
        f" left for the next look: {', '.join(swept.left) or 'none'}"
    )
