"""The one live service of a session: for end-to-end tests and kills."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

import moderate_tests
from moderate.local import install
from moderate.local.stack import Stack
from moderate_tests.conftest import require
from moderate_tests.e2e.live import Live
from moderate_tests.faults.failpoints import FOLDER

LIVE = [
    pytest.mark.services,
    pytest.mark.e2e,
    # Each condition has a limit of its own; a test awaits several.
    pytest.mark.timeout(900),
]
"""Marks of all tests of the live service."""

DEFINITIONS = "moderate_tests.faults.definitions_with_failpoints"
"""The service's own definitions; failpoints do nothing until armed."""

SETTINGS = {
    # A run that died is replaced within seconds; one that takes that long to
    # start is not: on a very busy machine that may need more patience.
    "INBOX_HEARTBEAT_SECONDS": "1",
    "INBOX_HEARTBEAT_TIMEOUT_SECONDS": os.environ.get("FAULTS_SILENCE", "15"),
    "INBOX_DISPATCH_GRACE_SECONDS": "10",
    "MODERATE_SENSOR_INTERVAL_SECONDS": "1",
    "MATRIX_PROFILE_BACKOFF_SECONDS": "0.5",
    "USER_DIDS_BACKOFF_SECONDS": "0.5",
    "ASSET_PROOFS_BACKOFF_SECONDS": "0.5",
    "USER_DIDS_MAX_FAILURES": "50",
    "ASSET_PROOFS_MAX_FAILURES": "50",
    "ASSET_PROOFS_LOOK_BACK_SECONDS": "5",
    # The API dies again and again, and its tasks with it.
    "API_TASK_TIMEOUT_SECONDS": "5",
    "API_TASK_LIMIT_SECONDS": "15",
    "MATRIX_PROFILE_MAX_CONCURRENT": "5",
    # Jobs are killed again and again: they must not be given up.
    "MATRIX_PROFILE_MAX_FAILURES": "20",
    "MATRIX_PROFILE_RECONCILE_SECONDS": "5",
    "MATRIX_PROFILE_RECONCILE_GRACE_SECONDS": "10",
    # The code server finds the definitions with failpoints.
    "PYTHONPATH": str(Path(moderate_tests.__file__).parent.parent),
}
RUNS_AT_ONCE = 4
"""Of one kind, as the stack's dagster.yaml has it."""

FAILPOINTS = "failpoints"
_LIVE = pytest.StashKey[Live]()


def shared_live(config: pytest.Config) -> Live:
    """Return the session's service, whole again: all parts run."""
    if _LIVE not in config.stash:
        require(install.POSTGRES, install.RABBITMQ)
        require(install.JAVA, install.MAVEN)
        live = config.stash[_LIVE] = Live(_start(config))
        config.add_cleanup(live.close)
    live = config.stash[_LIVE]
    for part in live.stack.parts:
        part.start()
    live.faults()
    return live


def _start(config: pytest.Config) -> Stack:
    # Not below pytest's own folder: that is closed to other users, and
    # Postgres does not run as root.
    root = Path(tempfile.mkdtemp(prefix="moderate-e2e-"))
    root.chmod(0o711)
    config.add_cleanup(lambda: shutil.rmtree(root))
    stack = Stack(
        root,
        durable=False,
        module=DEFINITIONS,
        emulator={
            "EMULATOR_CONTROL": "true",
            "EMULATOR_JOB_DEBOUNCE_SECONDS": "0",
        },
        environment={**SETTINGS, FOLDER: str(root / FAILPOINTS)},
    )
    config.add_cleanup(stack.stop)
    stack.start()
    return stack
