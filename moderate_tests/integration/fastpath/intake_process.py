"""An intake of the tests' own kind, which may kill itself at a step.

Run as ``python -m moderate_tests.integration.fastpath.intake_process
WORKSPACE [STEP]``.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from dagster import DagsterInstance

from moderate.connections import inbox_address
from moderate.fastpath.intake import Intake, run_all
from moderate.fastpath.launcher import WarmRunLauncher
from moderate.fastpath.submitting import (
    Submitter,
    submitter,
    workspace_file,
)
from moderate.inbox.store import Inbox
from moderate.settings import process_settings
from moderate_tests.integration.fastpath.jobs import EVENT, work_request

STEPS: dict[str, tuple[Any, str]] = {
    "before the dispatch": (Inbox, "dispatch"),
    "before the run exists": (Submitter, "_create"),
    "before the run is launched": (DagsterInstance, "launch_run"),
    "before the run is offered": (WarmRunLauncher, "launch_run"),
}
"""Where it may be killed: each before a call."""


def kill_before(owner: Any, name: str) -> None:
    """Have this process killed when it is about to make a call."""

    def killed(*_args: object, **_more: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, killed)


def no_sign() -> None:
    """Nothing: nobody looks."""


def main(workspace: Path, step: str | None) -> None:
    """Work until killed."""
    if step:
        kill_before(*STEPS[step])
    inbox = Inbox(inbox_address(process_settings()), [EVENT])
    with (
        DagsterInstance.get() as instance,
        submitter(instance, workspace_file(workspace)) as submits,
    ):
        makers = {EVENT.name: work_request}
        run_all(Intake(inbox, instance, submits, makers, no_sign), [])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
