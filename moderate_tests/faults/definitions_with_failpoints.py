"""The service's own definitions, with failpoints that tests can arm.

Nothing of this is in the service: functions at its boundaries are wrapped
here, in the processes that load this module, and analyses are started by way
of ``workload``.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from dagster import DefaultSensorStatus, Definitions

from moderate.analyses.process import ProcessLauncher
from moderate.clients.keycloak import KeycloakAdminClient
from moderate.clients.platform_api import PlatformApi
from moderate.clients.rabbitmq import Channel
from moderate.definitions import build_defs
from moderate.flows import sensing
from moderate.flows.asset_proofs import sensor as objects
from moderate.flows.asset_proofs.job import (
    ProofErrand,
    create_asset_object_proof_job,
)
from moderate.flows.matrix_profile import analysis, sensor
from moderate.flows.matrix_profile.job import (
    matrix_profile_job,
    platform_job_results_job,
)
from moderate.flows.user_dids import discovery
from moderate.flows.user_dids import sensor as users
from moderate.flows.user_dids.job import (
    DidErrand,
    propagate_new_user_to_trust_services_job,
)
from moderate.inbox.lease import Lease
from moderate.inbox.model import State
from moderate.inbox.store import Inbox
from moderate_tests.faults import failpoints, workload
from moderate_tests.faults.failpoints import reach_after, reach_before

__all__ = ["defs"]

MESSAGES = "matrix_profile"
TRUST = ("user_did", "asset_proof")
OPEN_ITEMS = """SELECT count(*) AS items FROM work_item
 WHERE kind = ANY(%s) AND state = %s"""
SENSORS = (
    sensor.matrix_profile_messages_sensor,
    sensor.matrix_profile_reconcile_sensor,
    sensor.matrix_profile_leftovers_sensor,
)
TRUST_SENSORS = (
    users.keycloak_user_sensor,
    objects.platform_api_asset_object_sensor,
)
"""Off until a test starts them: their work would be struck by failpoints,
too, and has its own time to come to an end."""

for each in TRUST_SENSORS:
    setattr(each, "_default_status", DefaultSensorStatus.STOPPED)  # noqa: B010

defs = Definitions(
    jobs=[
        matrix_profile_job,
        platform_job_results_job,
        propagate_new_user_to_trust_services_job,
        create_asset_object_proof_job,
    ],
    sensors=(*SENSORS, *TRUST_SENSORS),
    resources=build_defs().resources,
)


def has_items(state: State, *kinds: str) -> Callable[..., bool]:
    """Return what says whether a tick for some kinds has items in a state."""

    def look(inbox: Inbox, makers: Mapping[str, object]) -> bool:
        if makers.keys().isdisjoint(kinds):
            return False
        with inbox.transaction() as conn:
            (row,) = conn.execute(OPEN_ITEMS, [list(kinds), state]).fetchall()
        return bool(row["items"])

    return look


def is_analysis(lease: Lease, *_: object) -> bool:
    """Say whether a run works on a message, not on a final word."""
    return lease.kind.name == MESSAGES


# The tick, from the first to the last of its boundaries.
reach_before(sensor, "_intake", failpoints.IN_TICK)
reach_after(
    Inbox,
    "record",
    failpoints.BEFORE_COMMIT,
    when=lambda _inbox, _conn, items: any(
        item.kind == MESSAGES for item in items
    ),
)
reach_before(Channel, "ack", failpoints.BEFORE_ACK)
reach_before(
    sensing,
    "requests",
    failpoints.BEFORE_DISPATCH,
    when=has_items(State.PENDING, MESSAGES),
)
reach_after(
    sensing,
    "requests",
    failpoints.BEFORE_REQUEST,
    when=has_items(State.DISPATCHED, MESSAGES),
)

# The ticks of users and objects.
reach_after(KeycloakAdminClient, "list_users", failpoints.USERS_READ)
for module in (discovery, objects):
    reach_after(module, "advance_cursor", failpoints.CURSOR_MOVED)
reach_after(
    sensing,
    "requests",
    failpoints.TRUST_REQUEST,
    when=has_items(State.DISPATCHED, *TRUST),
)

# The run.
reach_before(Inbox, "bind", failpoints.BEFORE_BIND)
reach_after(Inbox, "bind", failpoints.AFTER_BIND)
reach_after(ProcessLauncher, "launch", failpoints.AFTER_LAUNCH)
reach_before(Lease, "done", failpoints.BEFORE_DONE, when=is_analysis)
reach_after(Lease, "done", failpoints.AFTER_DONE, when=is_analysis)
reach_after(PlatformApi, "finalise_job", failpoints.AFTER_TELL)

# The runs of users and objects.
for errand in (DidErrand, ProofErrand):
    reach_after(errand, "ask", failpoints.AFTER_ASK)
reach_before(
    Lease,
    "done",
    failpoints.BEFORE_RECORD,
    when=lambda lease, *_: lease.kind.name in TRUST,
)

setattr(  # noqa: B010  # its type has the length of the real one
    analysis, "COMMAND", (sys.executable, str(Path(workload.__file__)))
)
