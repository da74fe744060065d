"""Processes that carry out tasks: each its own, forked from a warm one.

Importing the framework costs some ten seconds of processor time. The first
task pays that once, in a process that does nothing but fork (the standard
library's fork server); every task after it begins with everything imported,
in memory that it shares, and ends as a process of its own, so that one that
runs out of memory or crashes fails alone.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event, Semaphore
from typing import TypeVar

from moderate.flows.metadata_ingestion.task import Outcome, Task
from moderate.inbox.metadata_sources import Part

PRELOAD = "moderate.flows.metadata_ingestion.preload"
LOOK_SECONDS = 0.1
"""Between two looks at a process."""

END_SECONDS = 5.0
"""Until a process that gave its outcome has ended."""

KEEP_SECONDS = 1.0
"""Until a part that is done is kept, with others that are done meanwhile."""

MIB = 1024 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

T = TypeVar("T")
Keep = Callable[[Sequence[Part]], None]
"""Remembers parts that are done for good."""


class News:
    """What a process tells of its task: parts that are done, and the end.

    Args:
        pipe: From where.
        keep: Told of the parts.
    """

    def __init__(self, pipe: Connection, keep: Keep) -> None:
        self._pipe = pipe
        self._keep = keep
        self._told: list[Part] = []
        self._kept = 0
        self._kept_at = time.monotonic()

    def heard(self, seconds: float) -> Outcome | None:
        """Wait a while for something, and return the end if it is that.

        Raises:
            EOFError: The process has ended without a last word.
        """
        try:
            told = self._pipe.recv() if self._pipe.poll(seconds) else None
        except OSError as error:  # In the middle of a word.
            raise EOFError from error
        if isinstance(told, Part):
            self._told.append(told)
        outcome = told if isinstance(told, Outcome) else None
        is_due = time.monotonic() - self._kept_at >= KEEP_SECONDS
        if outcome.error if outcome else is_due:
            self._keep_told()
        return outcome

    def rest(self) -> Sequence[Part]:
        """Hear what a process told before it ended; return all its parts."""
        with suppress(EOFError):
            while self._pipe.poll():
                self.heard(0)
        self._keep_told()
        return tuple(self._told)

    def _keep_told(self) -> None:
        if new := self._told[self._kept :]:
            self._keep(new)
        self._kept = len(self._told)
        self._kept_at = time.monotonic()


class Workshop:
    """Carries out tasks, so many at a time.

    Args:
        workers: How many.
    """

    def __init__(self, workers: int) -> None:
        self._threads = ThreadPoolExecutor(workers, "metadata")
        self._slots = Semaphore(workers)
        self._stopping = Event()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([PRELOAD])

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have a thread of the workshop's do some work, in its turn."""
        return self._threads.submit(work)

    def carry_out(self, task: Task, keep: Keep) -> Outcome:
        """Have a process carry out a task, and wait for what becomes of it.

        A process that fails as a whole is an outcome with an error.

        Args:
            task: What to do.
            keep: Called, while the task is at work, with parts of it that
                are done whatever becomes of the rest.
        """
        with self._slots:
            return self._watched(task, keep)

    def stop(self) -> None:
        """End all processes; tasks that have not begun never will."""
        self._stopping.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _watched(self, task: Task, keep: Keep) -> Outcome:
        ours, theirs = self._context.Pipe(duplex=False)
        # Imported by name there: here it would bring its imports along.
        process = self._context.Process(
            target=_work, args=(theirs, task), daemon=True
        )
        process.start()
        theirs.close()
        try:
            return self._wait(process, News(ours, keep), task)
        finally:
            process.join(END_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
            ours.close()

    def _wait(self, process: BaseProcess, news: News, task: Task) -> Outcome:
        begun = time.monotonic()
        peak = 0
        reason = None
        try:
            while not reason:
                if outcome := news.heard(LOOK_SECONDS):
                    most = max(peak, outcome.peak_bytes)
                    return replace(outcome, peak_bytes=most)
                peak = max(peak, _resident_bytes(process.pid))
                seconds = time.monotonic() - begun
                reason = self._why_stop(task, peak, seconds)
            process.kill()
            process.join()
        except EOFError:
            process.join(END_SECONDS)
            reason = _why_ended(process.exitcode)
        return Outcome(
            written=news.rest(),
            error=reason,
            seconds=time.monotonic() - begun,
            peak_bytes=peak,
        )

    def _why_stop(self, task: Task, peak: int, seconds: float) -> str | None:
        if self._stopping.is_set():
            return "the run was stopped"
        if peak > task.limits.memory:
            return (
                f"it used {peak // MIB} MiB of memory, more than the"
                f" {task.limits.memory // MIB} MiB of"
                " METADATA_MEMORY_LIMIT_MIB"
            )
        if seconds > task.limits.seconds:
            return (
                f"it was not over after the {task.limits.seconds:.0f} s of"
                " METADATA_STEP_TIMEOUT_SECONDS"
            )
        return None


def _work(pipe: Connection, task: Task) -> None:
    from moderate.flows.metadata_ingestion.child import (  # noqa: PLC0415
        work,
    )

    work(pipe, task)


def _why_ended(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return (
            "its process was killed, as the kernel does for want of memory:"
            " METADATA_WORKERS times METADATA_MEMORY_LIMIT_MIB have to fit"
        )
    return f"its process ended with code {code}"


def _resident_bytes(pid: int | None) -> int:
    try:
        text = Path(f"/proc/{pid}/statm").read_bytes()
    except OSError:  # It has ended.
        return 0
    return int(text.split()[1]) * _PAGE_BYTES
