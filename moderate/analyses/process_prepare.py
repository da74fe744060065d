"""What supervisor and command do to themselves before the command runs.

Only the standard library is imported: the supervisor uses this module too.
"""

import ctypes
import os
import resource
import signal
from pathlib import Path

OOM_SCORE = 500
"""The command's badness at least: the kernel shall choose it first."""

# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_LIBC = ctypes.CDLL(None, use_errno=True)


def become_supervisor() -> None:
    """Adopt what descendants leave behind; never dump secrets to disk."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def prepare_command(parent: int, niceness: int, cpus: int | None) -> None:
    """Make a forked process ready to become the command.

    Args:
        parent: The supervisor; when it dies the kernel kills the command.
        niceness: Added to the supervisor's.
        cpus: The most processors to use.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    os.nice(niceness)
    _offer_to_the_kernel()
    _choose_processors(parent, cpus)


def _offer_to_the_kernel() -> None:
    """Have it choose this process first when memory runs out."""
    score = Path("/proc/self/oom_score_adj")
    # Raising is allowed to everybody, lowering is not.
    if int(score.read_text()) < OOM_SCORE:
        score.write_text(str(OOM_SCORE))


def _choose_processors(seed: int, cpus: int | None) -> None:
    """Keep to some processors: thread pools then have that size too."""
    allowed = sorted(os.sched_getaffinity(0))
    if cpus is None or cpus >= len(allowed):
        return
    # Different attempts begin at different ones.
    first = seed % len(allowed)
    os.sched_setaffinity(0, (allowed + allowed)[first : first + cpus])


def _prctl(option: int, argument: int) -> None:
    if _LIBC.prctl(option, argument, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
