"""One tick or run of the trust flows that kills itself at a boundary.

A script: ``python -m moderate_tests.faults.trust_process BOUNDARY COUNT
tick`` or ``… run JOB BATCH``. It kills itself with SIGKILL when it comes to
the boundary for the COUNT-th time, and ends well if it never does.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from dagster import DagsterInstance, build_sensor_context

from moderate.definitions import build_defs
from moderate.flows import sensing
from moderate.flows.asset_proofs import sensor
from moderate.flows.asset_proofs.job import ProofErrand
from moderate.flows.platform_tasks.calls import Calls
from moderate.flows.platform_tasks.slots import Slots
from moderate.flows.user_dids.job import DidErrand
from moderate.inbox.lease import Lease
from moderate.inbox.store import Inbox


@dataclass(frozen=True)
class Boundary:
    """A place in the code: before or behind a function."""

    owners: tuple[Any, ...]
    function: str
    is_before: bool


def before(function: str, *owners: Any) -> Boundary:
    return Boundary(owners, function, is_before=True)


def after(function: str, *owners: Any) -> Boundary:
    return Boundary(owners, function, is_before=False)


IN_TICKS = {
    "objects-read": after("look", sensor),
    "objects-recorded": after("record", Inbox),
    "cursor-moved": after("advance_cursor", sensor),
    "objects-committed": before("settle", sensing),
    "dispatched": after("requests", sensing),
}
IN_RUNS = {
    "not-bound": before("bind", Inbox),
    "bound": after("bind", Inbox),
    "slots-taken": after("exchange", Slots),
    "begun": after("begin", Lease),
    "to-be-asked": before("ask", DidErrand, ProofErrand),
    "asked": after("ask", DidErrand, ProofErrand),
    "polled": after("poll", Calls),
    "known": before("done", Lease),
    "recorded": after("done", Lease),
    "waiting": after("wait_for", Lease),
}


def arm(boundary: Boundary, count: int) -> None:
    """Let the process die when it is there for the COUNT-th time."""
    left = count
    lock = threading.Lock()

    def reach() -> None:
        nonlocal left
        with lock:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    for owner in boundary.owners:
        original = getattr(owner, boundary.function)
        setattr(owner, boundary.function, _wrapped(original, boundary, reach))


def _wrapped(
    original: Callable[..., Any],
    boundary: Boundary,
    reach: Callable[[], None],
) -> Callable[..., Any]:
    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if boundary.is_before:
            reach()
        result = original(*args, **kwargs)
        if not boundary.is_before:
            reach()
        return result

    return wrapped


def main(name: str, count: str, what: str, *which: str) -> None:
    """Tick, or carry out a batch."""
    arm({**IN_TICKS, **IN_RUNS}[name], int(count))
    with DagsterInstance.ephemeral() as instance:
        if what == "tick":
            context = build_sensor_context(
                instance=instance, resources=build_defs().resources or {}
            )
            with context:
                sensor.platform_api_asset_object_sensor(context)
            return
        job, op, batch = which
        build_defs().resolve_job_def(job).execute_in_process(
            instance=instance,
            run_config={"ops": {op: {"config": {"batch_id": int(batch)}}}},
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
