"""A supervised process: started, awaited, watched and stopped as a whole.

``mirakuru`` was tried first. It starts commands with ``preexec_fn`` from
whatever thread calls it, finds what is left by reading the environment of
every process on the machine, and leaves everything running when its own
process is killed; so we start each command under a ``guard`` instead.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from moderate.local.guarded import Guarded

READY_POLL_SECONDS = 0.05
LOG_TAIL_LINES = 25
LOG_TAIL_BYTES = 65_536
LOG_KEEP_BYTES = 20_000_000


class PartError(Exception):
    """A part of the local stack did not start, or ended by itself.

    Args:
        part: The part's name, as ``status`` shows it.
        reason: What happened, in plain words.
        log: The part's log file, where there is one.
        tail: The end of that log, since the part was last started.
    """

    def __init__(
        self, part: str, reason: str, log: Path | None = None, tail: str = ""
    ) -> None:
        self.part = part
        self.reason = reason
        self.log = log
        self.tail = tail
        lines = [f"{part}: {reason}"]
        if tail:
            lines += [f"--- end of {log} ---", tail]
        super().__init__("\n".join(lines))


class Process:
    """One command under supervision, which may be started many times.

    Args:
        name: What messages call it.
        command: The program and its arguments; nothing secret belongs here,
            every user of the machine can read it.
        environment: The whole environment of the command.
        folder: The command's working folder.
        log: The file that its output is appended to.
        ready: Answers whether the service serves; called every 50 ms with no
            more than its own short timeouts. It must not raise.
        start_timeout: Seconds until ``start`` gives up.
        stop_signal: What asks the command to end.
        grace: Seconds that it gets to end before it is killed.
        spares_sessions: What the command started in sessions of their own
            outlives ``kill`` and ``restart`` (not ``stop``). In production
            such work runs in containers of its own.
        cancelled: Once set, ``start`` gives up and stops what it started.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        ready: Callable[[], bool],
        start_timeout: float = 60.0,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 10.0,
        spares_sessions: bool = False,
        cancelled: threading.Event | None = None,
    ) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self._environment = dict(environment)
        self._folder = folder
        self._ready = ready
        self._start_timeout = start_timeout
        self._stop_signal = stop_signal
        self._grace = grace
        self._spares_sessions = spares_sessions
        self._cancelled = cancelled or threading.Event()
        self._current: Guarded | None = None
        self._earlier: list[Guarded] = []
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The command's process id while it runs."""
        return self._current.pid if self._current and self.running else None

    @property
    def running(self) -> bool:
        """Whether the command itself runs."""
        return self._current is not None and self._current.running

    @property
    def exit_code(self) -> int | None:
        """How the command ended; negative for a signal, None before."""
        return self._current.exit_code if self._current else None

    def start(self) -> None:
        """Start the command and wait until it is ready.

        Raises:
            PartError: It ended, or was not ready in time; it is stopped.
        """
        if self.running:
            return
        self._keep_what_is_left()
        self._open_log()
        self._current = Guarded(
            self.command,
            environment=self._environment,
            folder=self._folder,
            log=self.log,
            stop_signal=self._stop_signal,
            grace=self._grace,
        )
        try:
            self._await_ready()
        except BaseException:
            # Also on Ctrl-C: what was half started is not left behind.
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the command and everything that it started, however deep."""
        started = [*self._earlier, self._current]
        for guarded in started:
            if guarded is not None and guarded.anything_left:
                guarded.stop()
        self._earlier.clear()

    def kill(self) -> None:
        """Kill everything at once with SIGKILL, as a crash would."""
        if self._current is None:
            return
        if self._spares_sessions:
            self._signal(os.killpg, signal.SIGKILL)
            self._current.wait(self._grace)
        elif self._current.anything_left:
            self._current.kill()

    def restart(self) -> None:
        """End the command gently and start it again.

        Raises:
            PartError: It did not come up again.
        """
        if self._spares_sessions and self._current is not None:
            self._signal(os.kill, self._stop_signal)
            if not self._current.wait(self._grace):
                self.kill()
        else:
            self.stop()
        self.start()

    def _signal(
        self, send: Callable[[int, int], None], number: signal.Signals
    ) -> None:
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                send(pid, number)

    def failure(self, reason: str) -> PartError:
        """An error that shows the end of this process' log."""
        return PartError(self.name, reason, self.log, self.tail())

    def tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of the log since the last start."""
        return read_tail(self.log, self._log_start, lines)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self._start_timeout
        while not self._ready():
            if not self.running:
                reason = f"ended with {describe_exit(self.exit_code)}"
                raise self.failure(f"{reason} before it was ready")
            if time.monotonic() > deadline:
                waited = f"{self._start_timeout:.0f} s"
                raise self.failure(f"was not ready within {waited}")
            if self._cancelled.wait(READY_POLL_SECONDS):
                raise self.failure("was cancelled while it started")
        if not self.running:
            # Something else answered, for instance on a port that is taken.
            reason = f"ended with {describe_exit(self.exit_code)}"
            raise self.failure(f"{reason} while its port answered")

    def _keep_what_is_left(self) -> None:
        if self._current is not None and self._current.anything_left:
            self._earlier.append(self._current)
        self._earlier = [one for one in self._earlier if one.anything_left]

    def _open_log(self) -> None:
        self._log_start = open_log(self.log, f"{self.name} started")


def open_log(log: Path, title: str) -> int:
    """Write a heading into ``log`` and say where its text begins.

    What has grown too long is put aside first; one such file is kept.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_KEEP_BYTES:
        log.replace(log.with_suffix(".log.1"))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with log.open("a") as file:
        file.write(f"--- {title} at {now} ---\n")
        return file.tell()


def read_tail(log: Path, start: int, lines: int = LOG_TAIL_LINES) -> str:
    """Read the last lines of ``log`` that lie behind ``start`` (bytes)."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start, end - LOG_TAIL_BYTES))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def describe_exit(exit_code: int | None) -> str:
    """Say in words how a command ended."""
    if exit_code is None:
        return "an unknown exit code"
    if exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"
