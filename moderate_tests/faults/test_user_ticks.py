"""Ticks that look for users are killed, and Keycloak is: nobody is lost."""

import signal
import subprocess
import sys
from collections import Counter

import pytest

from moderate.local.services.keycloak import Keycloak
from moderate_tests.faults.user_tick_process import BOUNDARIES
from moderate_tests.integration.flows.conftest import empty_inbox
from moderate_tests.integration.flows.keycloak_realm import Realm, Ticks
from moderate_tests.integration.flows.test_user_sensor import (
    between_pages,
    many,
    realm,
    ticks,
    user_settings,
)

__all__ = ["empty_inbox", "realm", "ticks", "user_settings"]

pytestmark = [
    pytest.mark.services,
    # Keycloak and six code locations are started, one after the other.
    pytest.mark.timeout(600),
]


def kill(boundary: str) -> None:
    """Let a process tick that kills itself there."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "moderate_tests.faults.user_tick_process"),
            boundary,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]


def test_a_tick_that_is_killed_at_a_boundary_loses_nobody(
    ticks: Ticks, realm: Realm
) -> None:
    """One after the other, each goes on where the last one died."""
    realm.add_many(many(90))
    for boundary in BOUNDARIES:
        realm.add(f"before-{boundary}", f"user00050-{boundary}")
        kill(boundary)
    ticks.until_swept()
    ticks.until_swept()
    found = Counter(item.key for item in ticks.items)
    assert found.keys() == realm.names()
    assert set(found.values()) == {1}


@pytest.mark.full
def test_a_sweep_goes_on_when_keycloak_was_restarted_in_its_middle(
    ticks: Ticks,
    realm: Realm,
    keycloak: Keycloak,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    realm.add_many(many(150))
    with monkeypatch.context() as cut:
        between_pages(cut, 2, keycloak.kill)
        ticks.tick()
    assert ticks.position.sweep, "it was cut off"
    keycloak.start()
    ticks.until_swept()
    assert ticks.found == realm.names()
