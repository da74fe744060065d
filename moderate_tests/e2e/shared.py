"""The one live service of a session: for end-to-end tests and kills."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import moderate_tests
from moderate.local import install
from moderate.local.stack import Stack
from moderate_tests.conftest import require
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.ways import Way
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

FAST_SETTINGS = {
    "WORKER_SLOTS": str(RUNS_AT_ONCE),
    # On a busy machine a run may wait that long for a worker.
    "FAST_PATH_PATIENCE_SECONDS": "30",
}
"""What differs with the fast path."""

FAILPOINTS = "failpoints"


@dataclass(frozen=True)
class _Opened:
    """A service, and what ends it."""

    live: Live
    closing: ExitStack


_LIVE = pytest.StashKey[_Opened]()


def shared_live(config: pytest.Config, way: Way) -> Live:
    """Return the session's service, whole again: all parts run.

    There is one at a time: that of the other way is ended.
    """
    opened = config.stash.get(_LIVE, None)
    if opened is None or opened.live.way is not way:
        if opened:
            opened.closing.close()
        opened = config.stash[_LIVE] = _open(way)
        config.add_cleanup(opened.closing.close)
    for part in opened.live.stack.parts:
        part.start()
    opened.live.faults()
    return opened.live


def _open(way: Way) -> _Opened:
    require(install.POSTGRES, install.RABBITMQ)
    require(install.JAVA, install.MAVEN)
    closing = ExitStack()
    return _Opened(closing.enter_context(open_live(way)), closing)


@contextmanager
def open_live(way: Way) -> Iterator[Live]:
    """Run a service in a folder of its own for the length of a block."""
    # Not below pytest's own folder: that is closed to other users, and
    # Postgres does not run as root.
    with tempfile.TemporaryDirectory(prefix="moderate-e2e-") as folder:
        root = Path(folder)
        root.chmod(0o711)
        with _make_stack(root, way) as stack:
            live = Live(stack, way)
            try:
                yield live
            finally:
                live.close()


def _make_stack(root: Path, way: Way) -> Stack:
    is_fast = way is Way.FAST
    return Stack(
        root,
        durable=False,
        module=DEFINITIONS,
        emulator={
            "EMULATOR_CONTROL": "true",
            "EMULATOR_JOB_DEBOUNCE_SECONDS": "0",
        },
        environment={
            **SETTINGS,
            **(FAST_SETTINGS if is_fast else {}),
            FOLDER: str(root / FAILPOINTS),
        },
        fast=is_fast,
    )
