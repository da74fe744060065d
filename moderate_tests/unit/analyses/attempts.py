"""What the cases of the process launcher share."""

from datetime import timedelta
from pathlib import Path

from moderate.analyses.launcher import AnalysisSpec, Finished, Status
from moderate.analyses.outcomes import Outcome, Reason
from moderate.analyses.process import ProcessLauncher
from moderate.analyses.process_state import AttemptDir
from moderate_tests.unit.analyses.worker import ATTEMPT

LONG = timedelta(seconds=60)
SUCCESS = Finished(Outcome(Reason.SUCCEEDED, exit_code=0))
MEBIBYTE = 2**20


def run(launcher: ProcessLauncher, what: AnalysisSpec) -> Status:
    launcher.launch(what)
    return launcher.wait(what.attempt, LONG)


def supervisor_of(root: Path) -> int:
    pid = AttemptDir(root / ATTEMPT.name).holder()
    assert pid
    return pid
