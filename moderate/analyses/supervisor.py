"""Runs one attempt, whatever becomes of the worker that launched it.

``python -I -m moderate.analyses.supervisor DIRECTORY`` reads an *order* (one
JSON object) from its standard input, leaves its parent, claims the attempt,
starts the command, answers with one word on its standard output, and then:

- copies what the command writes to the attempt's bounded log;
- ends the command when its time is up, when all its processes together use
  more memory than they may, or when told to by SIGTERM;
- kills everything that the command began, as the last of it may have left
  its group or session (they become children of this process);
- writes the outcome.

If the supervisor itself is killed, the kernel kills the command, and the
launcher kills what that had begun.

Secrets come through the pipe and go to the command's environment. The
supervisor keeps no other trace of them, and neither it nor the command dumps
core. Only the standard library is imported: this starts for every attempt.
"""

import errno
import os
import selectors
import signal
import subprocess
import sys
import time
import traceback
from functools import partial
from pathlib import Path

from moderate.analyses.outcomes import (
    EX_DATAERR,
    EX_OK,
    Outcome,
    Reason,
    outcome_of_exit,
)
from moderate.analyses.process_log import LogWriter
from moderate.analyses.process_memory import (
    CHECK_SECONDS,
    MemoryGuard,
    kernel_memory_kills,
)
from moderate.analyses.process_order import Answer, Order
from moderate.analyses.process_prepare import (
    become_supervisor,
    prepare_command,
)
from moderate.analyses.process_state import (
    MARKER,
    SCRATCH,
    AttemptDir,
    Start,
)
from moderate.analyses.process_tree import children_by_parent

READ_BYTES = 64 * 1024
TAIL_BYTES = 4096
"""The end of the output that is kept in mind to explain a failure."""

IDLE_SECONDS = 60.0
MEBIBYTE = 2**20

# What the system may answer to exec for good; the rest is a lack of room.
_COMMAND_ERRORS = frozenset(
    {
        errno.E2BIG,
        errno.EACCES,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOEXEC,
        errno.ENOTDIR,
        errno.EPERM,
    }
)


class Supervisor:
    """Runs one claimed attempt to its end.

    Args:
        directory: The attempt's.
        order: What to run.
    """

    def __init__(self, directory: AttemptDir, order: Order) -> None:
        self._directory = directory
        self._order = order
        self._log = LogWriter(directory.path, order.log_bytes)
        self._tail = b""
        self._guard = MemoryGuard(order.memory_bytes)
        self._deadline = time.monotonic() + order.timeout
        self._memory_kills = kernel_memory_kills()
        self._stop_asked = False
        self._exit_code: int | None = None
        self._verdict: Outcome | None = None
        self._kill_at = float("inf")
        self._next_check = 0.0
        self._wake, self._alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._listen()

    def start(self) -> bool:
        """Start the command; return whether there is one to watch."""
        token = os.urandom(16).hex()
        self._directory.record_start(
            Start(token, time.time(), self._order.stop_grace)
        )
        try:
            self._command = self._spawn(token)
        except OSError as error:
            self._directory.record_outcome(_not_started(error))
            return False
        return True

    def watch(self) -> None:
        """Stay with the command until nothing of it runs; say how it ended.

        The outcome is the last thing written: who reads it may rely on
        nothing of the attempt being left.
        """
        try:
            self._watch()
        except Exception:
            # Nobody reads our standard error any more.
            self._log.write(traceback.format_exc().encode())
            raise
        finally:
            # A fault of ours must not leave anything running either.
            self._kill_all()
        self._copy_output()
        self._directory.record_outcome(self._outcome())

    def _listen(self) -> None:
        """Have signals wake the loop."""
        signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        signal.signal(signal.SIGINT, self._ask_to_stop)
        for ignored in (signal.SIGCHLD, signal.SIGHUP):
            # A handler, as what is ignored would be so in the command too.
            signal.signal(ignored, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _ask_to_stop(self, *_: object) -> None:
        self._stop_asked = True

    def _spawn(self, token: str) -> subprocess.Popen[bytes]:
        scratch = self._directory.path / SCRATCH
        scratch.mkdir(mode=0o700, exist_ok=True)
        # What it writes is copied through a pipe that never blocks us.
        output, its_output = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(output, False)
        self._output = output
        try:
            return subprocess.Popen(
                self._order.command,
                stdin=subprocess.DEVNULL,
                stdout=its_output,
                stderr=subprocess.STDOUT,
                cwd=scratch,
                env={**self._order.env, MARKER: token},
                start_new_session=True,
                # This process has one thread: what preexec_fn can break in
                # others can't break here.
                preexec_fn=partial(  # noqa: PLW1509
                    prepare_command,
                    os.getpid(),
                    self._order.niceness,
                    self._order.cpus,
                ),
            )
        finally:
            os.close(its_output)

    def _watch(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._output, selectors.EVENT_READ)
        selector.register(self._wake, selectors.EVENT_READ)
        with selector:
            while self._exit_code is None:
                for key, _ in selector.select(self._patience()):
                    if key.fd == self._wake:
                        os.read(self._wake, READ_BYTES)
                    elif self._copy_chunk() == b"":
                        selector.unregister(self._output)
                self._reap()
                self._judge(time.monotonic())

    def _patience(self) -> float:
        """Return the seconds until something must be looked at."""
        if self._verdict is not None:
            due = self._kill_at
        elif self._order.memory_bytes is not None:
            due = min(self._deadline, self._next_check)
        else:
            due = self._deadline
        return max(0.0, min(due - time.monotonic(), IDLE_SECONDS))

    def _judge(self, now: float) -> None:
        """Decide whether the command must end."""
        if self._verdict is not None:
            if now >= self._kill_at:
                self._kill_all()
        elif self._stop_asked:
            self._end(Outcome(Reason.STOPPED), self._order.stop_grace)
        elif now >= self._deadline:
            limit = f"limit {self._order.timeout:g} s"
            grace = self._order.stop_grace
            self._end(Outcome(Reason.TIMED_OUT, detail=limit), grace)
        elif now >= self._next_check:
            self._next_check = now + CHECK_SECONDS
            if self._guard.passed():
                self._end(self._out_of_memory(), 0)

    def _end(self, verdict: Outcome, grace: float) -> None:
        """Tell the command to end, and kill it when the grace has passed."""
        self._verdict = verdict
        self._kill_at = time.monotonic() + grace
        if self._exit_code is None:
            # Its leader isn't reaped, so the group is still its own.
            os.killpg(self._command.pid, signal.SIGTERM)

    def _reap(self) -> None:
        """Take the exit codes of all children that ended."""
        try:
            while self._reap_one(os.WNOHANG):
                pass
        except ChildProcessError:
            return

    def _reap_one(self, options: int) -> int:
        pid, status = os.waitpid(-1, options)
        if pid == self._command.pid:
            self._exit_code = os.waitstatus_to_exitcode(status)
            self._command.returncode = self._exit_code
        return pid

    def _kill_all(self) -> None:
        """Kill until no child is left.

        Only children are killed: nobody else can reap them, so each number
        is surely theirs. Theirs become ours as soon as they are dead.
        """
        own = os.getpid()
        try:
            while True:
                for pid in children_by_parent().get(own, ()):
                    os.kill(pid, signal.SIGKILL)
                self._reap_one(0)
        except ChildProcessError:
            return

    def _copy_output(self) -> None:
        """Copy what is still in the pipe."""
        while self._copy_chunk():
            pass

    def _copy_chunk(self) -> bytes | None:
        """Copy some output.

        Returns:
            The output: empty at its end, ``None`` if there is none yet.
        """
        try:
            chunk = os.read(self._output, READ_BYTES)
        except BlockingIOError:
            return None
        self._tail = (self._tail + chunk)[-TAIL_BYTES:]
        try:
            self._log.write(chunk)
        except OSError as error:
            # A full disk must not block or end the analysis.
            self._tail += f"\n[... log not written: {error} ...]\n".encode()
        return chunk

    def _outcome(self) -> Outcome:
        if self._verdict is not None:
            return self._verdict
        code = self._exit_code
        if code is None:
            return Outcome(Reason.LOST)
        if (
            code == -signal.SIGKILL
            and kernel_memory_kills() > self._memory_kills
        ):
            return Outcome(
                Reason.MACHINE_OUT_OF_MEMORY, code, int(signal.SIGKILL)
            )
        return outcome_of_exit(code, self._tail)

    def _out_of_memory(self) -> Outcome:
        megabytes = (self._order.memory_bytes or 0) // MEBIBYTE
        return Outcome(Reason.OUT_OF_MEMORY, detail=f"limit {megabytes} MiB")


def supervise(path: Path, order: Order, answer: int) -> None:
    """Run an attempt, unless it isn't this process's to run.

    Args:
        path: The attempt's directory.
        order: What to run.
        answer: A pipe that takes one ``Answer`` and is then closed.
    """
    directory = AttemptDir(path)
    lock = directory.claim()
    refusal = _refusal(directory, claimed=lock is not None)
    if refusal is not None:
        os.write(answer, refusal.encode())
        return
    become_supervisor()
    supervisor = Supervisor(directory, order)
    watching = supervisor.start()
    os.write(answer, Answer.STARTED.encode())
    _close(answer)
    if watching:
        supervisor.watch()


def main() -> int:
    """Read the order, leave a supervisor behind, and answer.

    Returns:
        An exit code of ``sysexits.h``.
    """
    path = Path(sys.argv[1])
    try:
        order = Order.from_json(sys.stdin.buffer.read())
    except (ValueError, TypeError):
        return EX_DATAERR
    listen, answer = os.pipe2(os.O_CLOEXEC)
    if os.fork():
        os.close(answer)
        sys.stdout.write(os.read(listen, READ_BYTES).decode())
        return EX_OK
    os.chdir("/")
    os.umask(0o077)
    supervise(path, order, answer)
    return EX_OK


def _refusal(directory: AttemptDir, *, claimed: bool) -> Answer | None:
    """Return why this attempt must not be started, if there is a reason.

    A later attempt's launcher makes its directory known first and looks for
    earlier ones after; this is the other half: locked first, looked after.
    """
    if not claimed:
        return Answer.TAKEN
    if directory.started() is not None:
        return Answer.STARTED_BEFORE
    if directory.later_dispatches():
        return Answer.SUPERSEDED
    return None


def _not_started(error: OSError) -> Outcome:
    detail = f"{error.filename or 'the system'}: {error.strerror}"
    if error.errno in _COMMAND_ERRORS:
        return Outcome(Reason.COULD_NOT_START, detail=detail)
    return Outcome(Reason.NO_CAPACITY, detail=detail)


def _close(answer: int) -> None:
    """Let the launcher go: close all that leads to it."""
    os.close(answer)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(main())
