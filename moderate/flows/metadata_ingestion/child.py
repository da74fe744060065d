"""A process of the workshop: carries out one task, and ends."""

import ctypes
import logging
import os
import resource
import signal
import time
import warnings
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from moderate.flows.metadata_ingestion.task import Outcome, Task
from moderate.logs import configure_logging, log_context
from moderate.redaction import Redactor

PR_SET_PDEATHSIG = 1
KIBIBYTE = 1024

LEEWAY = 1024**3
"""Bytes over the limit that the kernel itself grants: the workshop looks
often, and gives a clear reason, but one allocation can be quicker."""


def work(pipe: Connection, task: Task) -> None:
    """Carry out a task and send back what became of it.

    Before that, each part that is done for good, as soon as it is: whatever
    ends this process, it is not done again.

    Args:
        pipe: Where to.
        task: What to do.
    """
    begun = time.monotonic(), time.process_time()
    _die_with_parent()
    _bound_memory(task.limits.memory)
    redactor = Redactor(task.secrets)
    _log(task, redactor)
    from moderate.flows.metadata_ingestion.framework import (  # noqa: PLC0415
        carry_out,
    )

    with log_context(kind=task.step, item=task.source.name):
        outcome = carry_out(task, pipe.send)
    pipe.send(_redacted(outcome, redactor, begun))
    pipe.close()
    # Threads of the framework's must not keep what has an outcome.
    os._exit(0)


def _redacted(
    outcome: Outcome, redactor: Redactor, begun: tuple[float, float]
) -> Outcome:
    redact = redactor.redact
    return replace(
        outcome,
        failed=tuple((name, redact(why)) for name, why in outcome.failed),
        error=redact(outcome.error) if outcome.error else None,
        seconds=time.monotonic() - begun[0],
        cpu_seconds=time.process_time() - begun[1],
        peak_bytes=_peak_bytes(),
    )


def _peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * KIBIBYTE
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_maxrss * KIBIBYTE


def _die_with_parent() -> None:
    """Have the kernel end this process when its parent ends.

    A run that was killed must not go on writing beside its successor.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _bound_memory(limit: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit + LEEWAY, hard))


def _log(task: Task, redactor: Redactor) -> None:
    """Send the framework's log lines through our handler, and only there."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    names = [n for n in logging.root.manager.loggerDict if "metadata" in n]
    for name in names:
        logging.getLogger(name).handlers.clear()
    configure_logging(task.logs.format, task.logs.level, redactor)
    warnings.simplefilter("ignore")
    # It prints tables of its status, with stacks: nobody redacts that.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
