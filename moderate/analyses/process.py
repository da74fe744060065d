"""Runs analyses as processes of this machine (64-bit Linux, 5.3 or later).

Each attempt has a supervisor of its own (``moderate.analyses.supervisor``),
in a session of its own, that no worker's death reaches. Workers and
supervisors share nothing but the attempt's directory (see
``process_state``), so any worker on this machine, as the same user and with
the same root, adopts what another launched. Several hosts need a launcher
that all of them reach; so do containers that don't share their processes.

Not bounded here: disk space and network. Memory is watched ten times a
second, not fenced, so a burst may pass the limit for a moment.
"""

import os
import secrets
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from moderate.analyses.launcher import (
    DEFAULT_STOP_GRACE,
    Absent,
    AnalysisSpec,
    AttemptId,
    AttemptRunningError,
    Finished,
    Pending,
    Running,
    Status,
    SupersededError,
)
from moderate.analyses.outcomes import Outcome, Reason, last_line
from moderate.analyses.process_log import read_log
from moderate.analyses.process_order import Answer, Order
from moderate.analyses.process_state import (
    CLEANER,
    MARKER,
    SCRATCH,
    UNSEEN,
    AttemptDir,
)
from moderate.analyses.process_tree import kill_marked
from moderate.errors import PermanentError, TemporaryError

DEFAULT_LOG_BYTES = 3 * 2**20
DEFAULT_NICENESS = 10
"""Analyses give way to the daemon and to other work of the machine."""

INHERITED = ("LANG", "LC_ALL", "PATH", "TZ")
"""All that a command's environment has from the worker's."""

SUPERVISOR = "moderate.analyses.supervisor"
START_WITHIN = timedelta(seconds=60)
STOP_MARGIN = timedelta(seconds=5)
"""What a supervisor may take on top of the grace that it gives."""

GONE_WITHIN = timedelta(seconds=30)
"""How long the kernel may take to remove what was killed."""

POLL_SECONDS = 0.05
"""Between two looks at what has no end that could be awaited."""

_BIN = ".gone-"


class ProcessLauncher:
    """The Launcher protocol, on this machine.

    Args:
        root: Where the attempts' directories are, on a local file system.
            Made with mode 0700 if it's absent.
        log_bytes: The most that an attempt's log takes on disk.
        niceness: Added to the worker's niceness for the commands.
    """

    def __init__(
        self,
        root: Path,
        *,
        log_bytes: int = DEFAULT_LOG_BYTES,
        niceness: int = DEFAULT_NICENESS,
    ) -> None:
        self._root = root.absolute()
        self._log_bytes = log_bytes
        self._niceness = niceness

    def prepare(self, spec: AnalysisSpec) -> None:
        """Make the attempt's directory.

        Raises:
            PermanentError: The spec has no command, or the directories
                belong to somebody else.
        """
        if not spec.command:
            raise PermanentError(f"{spec.attempt.name}: no command to run")
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_foreign(self._root, owners=(os.geteuid(), 0))
        path = self._root / spec.attempt.name
        path.mkdir(mode=0o700, exist_ok=True)
        _refuse_foreign(path, owners=(os.geteuid(),))

    def launch(self, spec: AnalysisSpec) -> Status:
        """Start the attempt, or adopt it (see ``Launcher.launch``)."""
        attempt = spec.attempt
        self.prepare(spec)
        self._refuse_out_of_turn(attempt)
        status = self.status(attempt)
        if not isinstance(status, Absent):
            return status
        if self._start(spec) is Answer.SUPERSEDED:
            raise _superseded(attempt)
        status = self.status(attempt)
        if isinstance(status, Absent):
            msg = f"{attempt.name}: its traces were removed while it started"
            raise TemporaryError(msg)
        return status

    def status(self, attempt: AttemptId) -> Status:
        """Return how it stands.

        What a killed supervisor left behind is killed on the way: an attempt
        is finished only when it is gone.
        """
        directory = self._directory(attempt)
        if directory.holder() is None:
            return _status_without_supervisor(directory)
        start = directory.started()
        return Running(_time(start.at)) if start else Pending("it is starting")

    def wait(self, attempt: AttemptId, timeout: timedelta) -> Status:
        """Return the status as soon as nothing is left to wait for."""
        deadline = time.monotonic() + timeout.total_seconds()
        while True:
            status = self.status(attempt)
            left = deadline - time.monotonic()
            if isinstance(status, Finished | Absent) or left <= 0:
                return status
            with _supervisor_of(self._directory(attempt)) as supervisor:
                if supervisor is None:
                    time.sleep(min(left, POLL_SECONDS))
                else:
                    _ends_within(supervisor, left)

    def logs(self, attempt: AttemptId, max_bytes: int) -> bytes:
        """Return what it wrote: head and tail where that's too long."""
        return read_log(self._directory(attempt).path, max_bytes)

    def stop(self, attempt: AttemptId) -> None:
        """End all its processes, and return when they are seen gone.

        Raises:
            TemporaryError: They could not be ended yet.
        """
        _end_supervisor(self._directory(attempt))
        status = self.wait(attempt, GONE_WITHIN)
        if isinstance(status, Running | Pending):
            raise TemporaryError(f"{attempt.name} could not be ended yet")

    def clean_up(self, attempt: AttemptId) -> None:
        """Remove its traces, at once as seen by others.

        Raises:
            AttemptRunningError: It still runs.
        """
        directory = self._directory(attempt)
        # Not there (any more): nothing to remove.
        with (
            suppress(FileNotFoundError),
            directory.kept_from_starting() as ours,
        ):
            if ours:
                self._discard(attempt)
            elif directory.holder() not in (None, CLEANER):
                raise _running(attempt)
        self._empty_bin()

    def attempts(self, kind: str, item_id: int) -> list[AttemptId]:
        """Return the attempts at one item that left traces, in order."""
        return [
            attempt
            for attempt in self.all_attempts()
            if (attempt.kind, attempt.item_id) == (kind, item_id)
        ]

    def all_attempts(self) -> list[AttemptId]:
        """Return all attempts that left traces, in order."""
        try:
            names = [path.name for path in self._root.iterdir()]
        except FileNotFoundError:
            return []
        found = (AttemptId.parse(name) for name in names)
        return sorted(attempt for attempt in found if attempt)

    def _directory(self, attempt: AttemptId) -> AttemptDir:
        return AttemptDir(self._root / attempt.name)

    def _refuse_out_of_turn(self, attempt: AttemptId) -> None:
        for other in self.attempts(attempt.kind, attempt.item_id):
            if other.dispatch > attempt.dispatch:
                raise _superseded(attempt)
            if other.dispatch < attempt.dispatch:
                status = self.status(other)
                if isinstance(status, Running | Pending):
                    raise _running(other)

    def _start(self, spec: AnalysisSpec) -> Answer:
        """Start a supervisor and return what it answered."""
        path = self._directory(spec.attempt).path
        try:
            # It forks and ends once the supervisor proper has answered, which
            # stays in this new session: no signal to the worker's reaches it.
            starter = subprocess.run(
                [sys.executable, "-I", "-m", SUPERVISOR, str(path)],
                input=self._order(spec, path).to_json(),
                capture_output=True,
                timeout=START_WITHIN.total_seconds(),
                start_new_session=True,
                env={},
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            msg = f"{spec.attempt.name}: no supervisor could be started"
            raise TemporaryError(f"{msg}: {error}") from error
        try:
            return Answer(starter.stdout.decode())
        except ValueError:
            why = last_line(starter.stderr) or f"code {starter.returncode}"
            msg = f"{spec.attempt.name}: its supervisor ended early: {why}"
            raise TemporaryError(msg) from None

    def _order(self, spec: AnalysisSpec, path: Path) -> Order:
        scratch = str(path / SCRATCH)
        inherited = {n: os.environ[n] for n in INHERITED if n in os.environ}
        return Order(
            command=list(spec.command),
            env={
                **inherited,
                "HOME": scratch,
                "TMPDIR": scratch,
                **spec.env,
                **{n: v.get_secret_value() for n, v in spec.secrets.items()},
            },
            timeout=spec.timeout.total_seconds(),
            stop_grace=spec.stop_grace.total_seconds(),
            log_bytes=self._log_bytes,
            niceness=self._niceness,
            memory_bytes=spec.limits.memory_bytes,
            cpus=spec.limits.cpus,
        )

    def _discard(self, attempt: AttemptId) -> None:
        """Move an attempt's directory out of sight, with its lock held."""
        directory = self._directory(attempt)
        if isinstance(_status_without_supervisor(directory), Running):
            raise _running(attempt)
        name = f"{_BIN}{attempt.name}-{secrets.token_hex(8)}"
        directory.path.rename(self._root / name)

    def _empty_bin(self) -> None:
        """Remove what this or an interrupted clean-up moved out of sight."""
        for path in self._root.glob(f"{_BIN}*"):
            _remove(path)


def _status_without_supervisor(directory: AttemptDir) -> Status:
    outcome = directory.outcome()
    if outcome:
        return Finished(outcome)
    start = directory.started()
    if start is None:
        return Absent()
    if kill_marked(MARKER, start.token):
        return Running(_time(start.at))
    return Finished(Outcome(Reason.LOST, detail="its supervisor was killed"))


def _end_supervisor(directory: AttemptDir) -> None:
    """Have a live supervisor end its attempt; end it too if it doesn't."""
    start = directory.started()
    grace = DEFAULT_STOP_GRACE.total_seconds()
    if start:
        grace = start.stop_grace
    patience = grace + STOP_MARGIN.total_seconds()
    with _supervisor_of(directory) as supervisor:
        if supervisor is None:
            return
        signal.pidfd_send_signal(supervisor, signal.SIGTERM)
        if not _ends_within(supervisor, patience):
            signal.pidfd_send_signal(supervisor, signal.SIGKILL)


@contextmanager
def _supervisor_of(directory: AttemptDir) -> Iterator[int | None]:
    """Yield a handle of the live supervisor, which no other can take over.

    ``None`` if there is none, or none that this process can see.
    """
    pid = directory.holder()
    if pid is None or pid in (UNSEEN, CLEANER):
        yield None
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        # If it still holds the lock, the number was its own when opened.
        yield handle if directory.holder() == pid else None
    finally:
        os.close(handle)


def _ends_within(process: int, seconds: float) -> bool:
    """Wait for a process, by its handle; return whether it ended."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _refuse_foreign(path: Path, *, owners: tuple[int, ...]) -> None:
    """Raise unless a directory is in the right hands."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid in owners:
        return
    msg = f"{path} belongs to user {status.st_uid}: choose another folder"
    raise PermanentError(msg)


def _remove(path: Path) -> None:
    """Remove a directory, whatever modes a command left in it."""
    # Another clean-up may be at the same one.
    with suppress(FileNotFoundError):
        try:
            shutil.rmtree(path)
        except PermissionError:
            _open_up(path)
            shutil.rmtree(path)


def _open_up(path: Path) -> None:
    """Let this user into a directory and all below, from the top down."""
    path.chmod(stat.S_IRWXU)
    for parent, names, _ in os.walk(path):
        for name in names:
            below = Path(parent, name)
            if not below.is_symlink():
                below.chmod(stat.S_IRWXU)


def _superseded(attempt: AttemptId) -> SupersededError:
    return SupersededError(f"{attempt.name}: a later attempt is known")


def _running(attempt: AttemptId) -> AttemptRunningError:
    return AttemptRunningError(f"{attempt.name} still runs")


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
