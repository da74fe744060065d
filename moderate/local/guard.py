"""Runs one command and leaves nothing of it behind.

The supervisor starts this file as a process of its own around every service:
``python -I -S guard.py --supervisor PID -- COMMAND``. It needs nothing but
the standard library, so that it starts in a few hundredths of a second.

Why a process in between: a parent-death signal alone is not enough. The
kernel sends it when the *thread* that started the child ends, it reaches
only the child and not what the child started, and it is lost where a child
makes its own session. The guard is a child subreaper: whatever its command
starts, also daemons in a session of their own, stays its descendant.

- When the supervisor ends, however it ends, everything is stopped.
- On SIGTERM the command gets its stop signal; after the grace period, or
  when the command has ended, all that is left is killed. On SIGUSR1 all is
  killed at once.
- When the command ends by itself, that is reported on standard output and
  the guard stays for as long as the command's descendants do.
- When the guard itself is killed, the kernel kills the command.
"""

import argparse
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CANNOT_START = 127  # As a shell says it.
KILL_INTERVAL = 0.02  # seconds between two rounds of killing what is left

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Call Linux' ``prctl(2)``.

    Raises:
        OSError: The kernel refused.
    """
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def descendants(root: int) -> Iterator[int]:
    """Yield the process ids of everything below ``root``."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # Behind the name, which may hold spaces and parentheses,
                # come the state and the parent's id.
                fields = (entry / "stat").read_text().rpartition(")")[2]
                parent = int(fields.split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    waiting = [root]
    while waiting:
        found = children.get(waiting.pop(), [])
        waiting.extend(found)
        yield from found


class Guard:
    """One guarded command, from its start to the end of the last child.

    Args:
        options: The parsed command line, see ``parse``.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._supervisor = os.pidfd_open(options.supervisor)
        self._signals = self._watch_signals()
        self._stopping = False
        self._main: int | None = None

    @staticmethod
    def _watch_signals() -> int:
        readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
            # The wake-up pipe carries the number; the handler has no work.
            signal.signal(number, lambda *_: None)
        return readable

    def run(self) -> None:
        """Start the command and stay until nothing of it is left."""
        if os.getppid() != self._options.supervisor:
            return None  # It ended before we could watch it.
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        try:
            self._start()
        except OSError as error:
            sys.stderr.write(f"{self._options.command[0]}: {error}\n")
            return self._report(f"ended {CANNOT_START}")
        poller = select.poll()
        poller.register(self._supervisor, select.POLLIN)
        poller.register(self._signals, select.POLLIN)
        while self._reap():
            ready = {descriptor for descriptor, _ in poller.poll()}
            told = self._read_signals()
            if signal.SIGUSR1 in told:
                return self._kill_what_is_left()
            if self._supervisor in ready or signal.SIGTERM in told:
                self._stop_command()
                return self._kill_what_is_left()
        return None

    def _start(self) -> None:
        options = self._options
        child = subprocess.Popen(
            options.command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            stderr=sys.stderr.fileno(),
            start_new_session=True,
            # The guard has one thread and lives as long as its command, so
            # the parent-death signal means what it says.
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        self._main = child.pid
        self._report(f"started {child.pid}")

    def _reap(self) -> bool:
        """Collect ended children; False when none is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                self._main = None
                self._report(f"ended {os.waitstatus_to_exitcode(status)}")

    def _read_signals(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return os.read(self._signals, 4096)
        return b""

    def _stop_command(self) -> None:
        if self._main is not None:
            os.kill(self._main, self._options.stop_signal)
        deadline = time.monotonic() + self._options.grace
        while self._reap() and self._main is not None:
            left = deadline - time.monotonic()
            if left <= 0 or signal.SIGUSR1 in self._read_signals():
                return
            select.select([self._signals], [], [], left)

    def _kill_what_is_left(self) -> None:
        while self._reap():
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(KILL_INTERVAL)

    @staticmethod
    def _report(line: str) -> None:
        # A supervisor that is gone does not read any more.
        with contextlib.suppress(BrokenPipeError):
            os.write(sys.stdout.fileno(), f"{line}\n".encode())


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the guard's command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--supervisor", type=int, required=True)
    parser.add_argument("--stop-signal", type=int, default=signal.SIGTERM)
    parser.add_argument("--grace", type=float, default=10.0)
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    Guard(parse(sys.argv[1:])).run()
