"""The sensor: users in, runs out."""

import time

from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from moderate.errors import ModerateError, PermanentError, TemporaryError
from moderate.flows.platform_tasks.dids import USER_DID
from moderate.flows.sensing import Intake, tick
from moderate.flows.ticks import deadline, whole_seconds
from moderate.flows.user_dids.assets import users_counted
from moderate.flows.user_dids.discovery import discover
from moderate.flows.user_dids.job import (
    propagate_new_user_to_trust_services_job,
    user_did_request,
)
from moderate.flows.user_dids.kinds import FLOW
from moderate.flows.user_dids.wiring import rules_of
from moderate.inbox.cursors import CursorMovedError
from moderate.inbox.database import InboxUnavailableError
from moderate.inbox.store import Inbox
from moderate.resources import InboxSource, KeycloakResource, redactor
from moderate.settings import process_settings

MAKERS = {USER_DID: user_did_request}

_SERVICE = process_settings().service


@sensor(
    name="keycloak_user_sensor",
    jobs=[propagate_new_user_to_trust_services_job],
    minimum_interval_seconds=whole_seconds(_SERVICE.sensor_interval),
    default_status=DefaultSensorStatus.RUNNING,
    description="Finds new users in Keycloak and starts runs that see to"
    " their DIDs.",
)
def keycloak_user_sensor(
    context: SensorEvaluationContext,
    inbox: ResourceParam[InboxSource],
    keycloak: KeycloakResource,
) -> SensorResult | SkipReason:
    """Look for users, settle, dispatch, request runs."""
    settings = process_settings()
    flow = settings.flow(FLOW)
    if not (settings.postgres and settings.platform_api):
        return SkipReason(flow.why_off())
    store = inbox.open()
    if flow.is_on:
        return tick(context, store, lambda: _intake(store, keycloak), MAKERS)
    # Our own account's item is worked on all the same.
    off = Intake(f"no users are looked for: {flow.why_off()}", is_news=False)
    return tick(context, store, lambda: off, MAKERS)


def _intake(store: Inbox, keycloak: KeycloakResource) -> Intake:
    """Look for users; what is due must not wait for it."""
    settings = process_settings()
    begun = time.monotonic()
    try:
        client = keycloak.client()
        found = discover(
            client,
            store,
            rules_of(settings),
            in_time=deadline(settings.user_dids.sweep_budget),
        )
        counted = [users_counted(client.count_users())] if found.swept else []
    except InboxUnavailableError:
        raise  # nothing else can be done without it either
    except CursorMovedError:
        return Intake("another tick reads the users")
    except ModerateError as error:
        # The cause is in the text; a traceback adds nothing.
        text = redactor().redact(str(error))
        for_good = isinstance(error, PermanentError)
        trouble = PermanentError(text) if for_good else TemporaryError(text)
        return Intake(f"no users found: {text}", trouble=trouble)
    return Intake(
        f"{found} in {time.monotonic() - begun:.3f} s",
        is_news=found.new > 0 or found.swept or found.place is not None,
        counted=counted,
    )
