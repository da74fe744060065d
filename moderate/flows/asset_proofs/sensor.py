"""The sensor: objects without a proof in, runs out."""

import time

from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from moderate.clients.platform_api import PAGE_LIMIT, PlatformApi
from moderate.errors import TemporaryError
from moderate.flows.asset_proofs.job import (
    asset_proof_request,
    create_asset_object_proof_job,
)
from moderate.flows.asset_proofs.kinds import (
    ASSET_PROOF,
    FLOW,
    asset_proof_item,
)
from moderate.flows.asset_proofs.plan import CURSOR, Pace, Position, look
from moderate.flows.platform_tasks.dids import USER_DID, own_did_item
from moderate.flows.sensing import Intake, tick
from moderate.flows.ticks import deadline, whole_seconds
from moderate.inbox.cursors import advance_cursor, read_cursor
from moderate.inbox.database import InboxUnavailableError, server_now
from moderate.inbox.store import Inbox
from moderate.resources import (
    InboxSource,
    PlatformApiResource,
    given,
    redactor,
)
from moderate.settings import (
    PlatformApiSettings,
    Settings,
    process_settings,
)

MAKERS = {ASSET_PROOF: asset_proof_request}

_SERVICE = process_settings().service


@sensor(
    name="platform_api_asset_object_sensor",
    jobs=[create_asset_object_proof_job],
    minimum_interval_seconds=whole_seconds(_SERVICE.sensor_interval),
    default_status=DefaultSensorStatus.RUNNING,
    description="Finds asset objects that lack a proof and starts runs for"
    " what is due.",
)
def platform_api_asset_object_sensor(
    context: SensorEvaluationContext,
    inbox: ResourceParam[InboxSource],
    platform_api: PlatformApiResource,
) -> SensorResult | SkipReason:
    """Look for objects, settle, dispatch, request runs."""
    settings = process_settings()
    flow = settings.flow(FLOW)
    if not flow.is_on:
        return SkipReason(flow.why_off())
    store = inbox.open()
    return tick(
        context,
        store,
        lambda: _intake(store, platform_api.client(), settings),
        MAKERS,
    )


def _intake(store: Inbox, api: PlatformApi, settings: Settings) -> Intake:
    """Find objects; an API that is down must not stop what is due."""
    try:
        return _found(store, api, settings)
    except InboxUnavailableError:
        raise  # nothing else can be done without it either
    except TemporaryError as error:
        # The cause is a peer, named in the text; a traceback adds nothing.
        trouble = TemporaryError(redactor().redact(str(error)))
        return Intake(f"no objects read: {trouble}", trouble=trouble)


def _found(store: Inbox, api: PlatformApi, settings: Settings) -> Intake:
    begun = time.monotonic()
    with store.transaction() as conn:
        cursor = read_cursor(conn, CURSOR, Position())
        now = server_now(conn)
    _see_to_own_did(store, settings)
    seen = look(
        api,
        cursor.value,
        now=now,
        pace=_pace(settings),
        in_time=deadline(settings.service.tick_budget),
    )
    with store.transaction() as conn:
        new = store.record(conn, [asset_proof_item(o) for o in seen.found])
        if seen.position != cursor.value:
            advance_cursor(conn, cursor, seen.position)
    seconds = time.monotonic() - begun
    return Intake(
        f"read {len(seen.found)} objects without a proof, new {len(new)},"
        f" known {len(seen.found) - len(new)}; {seen.calls} calls in"
        f" {seconds:.3f} s",
        is_news=bool(new),
    )


def _see_to_own_did(store: Inbox, settings: Settings) -> None:
    """Let our own account have a DID: ownerless objects need it."""
    platform = given(settings.platform_api, PlatformApiSettings)
    item = own_did_item(platform.username)
    with store.transaction() as conn:
        if not store.known_keys(conn, USER_DID, [item.key]):
            store.record(conn, [item])


def _pace(settings: Settings) -> Pace:
    flow = settings.asset_proofs
    return Pace(
        page=PAGE_LIMIT,
        limit=flow.objects_per_tick,
        look_back=flow.look_back,
        reconcile=flow.reconcile_interval,
    )
