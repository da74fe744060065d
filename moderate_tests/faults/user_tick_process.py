"""One tick of the user sensor that kills itself at a boundary.

A script: ``python -m moderate_tests.faults.user_tick_process BOUNDARY``.
"""

import sys

from dagster import DagsterInstance, build_sensor_context

from moderate.clients.keycloak import KeycloakAdminClient
from moderate.definitions import build_defs
from moderate.flows import sensing
from moderate.flows.user_dids import discovery, sensor
from moderate.inbox.store import Inbox
from moderate_tests.faults.trust_process import after, arm, before

BOUNDARIES = {
    "counted": after("count_users", KeycloakAdminClient),
    "page-read": after("list_users", KeycloakAdminClient),
    "recorded": after("record", Inbox),
    "cursor-moved": after("advance_cursor", discovery),
    "committed": before("settle", sensing),
    "dispatched": after("requests", sensing),
}


def main(name: str) -> None:
    """Tick once."""
    arm(BOUNDARIES[name], 1)
    with DagsterInstance.ephemeral() as instance:
        context = build_sensor_context(
            instance=instance, resources=build_defs().resources or {}
        )
        with context:
            sensor.keycloak_user_sensor(context)


if __name__ == "__main__":
    main(*sys.argv[1:])
