"""A worker to be killed: launches one program and says so.

``python -m moderate_tests.unit.analyses.worker ROOT SOURCE``
"""

import sys
import time
from datetime import timedelta
from pathlib import Path

from moderate.analyses.launcher import AnalysisSpec, AttemptId
from moderate.analyses.process import ProcessLauncher

ATTEMPT = AttemptId("fault", 1, 1)
FOR_EVER = 600


def spec(source: str) -> AnalysisSpec:
    """Describe the attempt that every worker of a test launches."""
    return AnalysisSpec(
        attempt=ATTEMPT,
        command=(sys.executable, "-I", "-S", "-c", source),
        timeout=timedelta(minutes=2),
        stop_grace=timedelta(seconds=0.2),
    )


def main() -> None:
    """Wait for the word, launch, and live until killed."""
    root, source = sys.argv[1:]
    launcher = ProcessLauncher(Path(root))
    _say("ready")
    sys.stdin.readline()
    status = launcher.launch(spec(source))
    _say(type(status).__name__)
    time.sleep(FOR_EVER)


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
