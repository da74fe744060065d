"""What the process launcher and its supervisors know of an attempt.

One directory per attempt, mode 0700, is all they share::

    <root>/<attempt's name>/
        lock           locked by the supervisor for as long as it lives
        started.json   written before the command starts
        exit.json      written when nothing of the attempt runs any more
        log.<offset>   what the command wrote (see ``process_log``)
        scratch/       the command's working, home and temporary directory

The lock is a POSIX record lock: the kernel frees it when its holder dies, by
``kill -9`` too, and tells who holds it. So whether a supervisor lives never
depends on a process number in a file, which another process may have by now.
The directory must be on a local file system.

Only the standard library is imported: the supervisor uses this module too.
"""

import fcntl
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moderate.analyses.outcomes import Outcome, Reason

LOCK = "lock"
STARTED = "started.json"
EXIT = "exit.json"
SCRATCH = "scratch"

MARKER = "MODERATE_ATTEMPT"
"""Environment variable by which an attempt's processes are known."""

DISPATCH = "-d"
"""What stands before the dispatch number in an attempt's name."""

UNSEEN = 0
CLEANER = -1

_FLOCK = "hhqqi4x"
"""``struct flock`` of 64-bit Linux: type, whence, start, length, pid."""


@dataclass(frozen=True)
class Start:
    """The record that a command was about to start.

    Attributes:
        token: The value of ``MARKER`` for all processes of the attempt.
        at: When, in seconds since 1970.
        stop_grace: Seconds that the command may take to end when told to.
    """

    token: str
    at: float
    stop_grace: float


class AttemptDir:
    """The directory of one attempt."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def holder(self) -> int | None:
        """Return the process number of the live supervisor, if any.

        ``UNSEEN`` stands for one that this process can't see, such as one in
        another container, and ``CLEANER`` for somebody who removes traces.
        """
        try:
            lock = os.open(self.path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            answer = fcntl.fcntl(lock, fcntl.F_GETLK, _whole_file())
        finally:
            os.close(lock)
        kind, _, _, _, pid = struct.unpack(_FLOCK, answer)
        return None if kind == fcntl.F_UNLCK else int(pid)

    @contextmanager
    def kept_from_starting(self) -> Iterator[bool]:
        """Hold the lock in a supervisor's place; yield whether it's ours.

        The lock belongs to the open file, not to the process: other threads
        may look at the attempt meanwhile.
        """
        lock = self._open_lock()
        try:
            try:
                fcntl.fcntl(lock, fcntl.F_OFD_SETLK, _whole_file())
            except (BlockingIOError, PermissionError):
                yield False
            else:
                yield True
        finally:
            os.close(lock)

    def claim(self) -> int | None:
        """Lock the attempt for the life of this process.

        Returns:
            The open lock, to be kept open; ``None`` if another has it or the
            directory was removed meanwhile.
        """
        lock = self._open_lock()
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = (self.path / LOCK).stat()
            ours = os.path.samestat(os.fstat(lock), there)
        except (BlockingIOError, PermissionError, FileNotFoundError):
            ours = False
        if ours:
            return lock
        os.close(lock)
        return None

    def later_dispatches(self) -> list[int]:
        """Return the dispatch numbers of later attempts at the item."""
        item, _, own = self.path.name.rpartition(DISPATCH)
        siblings = (path.name for path in self.path.parent.iterdir())
        parts = (name.rpartition(DISPATCH) for name in siblings)
        numbers = (n for stem, _, n in parts if stem == item and n.isdigit())
        return [int(n) for n in numbers if int(n) > int(own)]

    def started(self) -> Start | None:
        """Return the record of the start, if the command was started."""
        record = self._read(STARTED)
        return Start(**record) if record else None

    def outcome(self) -> Outcome | None:
        """Return the outcome, once nothing of the attempt runs any more."""
        record = self._read(EXIT)
        if not record:
            return None
        return Outcome(**{**record, "reason": Reason(record["reason"])})

    def record_start(self, start: Start) -> None:
        """Write down that the command is about to start."""
        self._write(STARTED, asdict(start))

    def record_outcome(self, outcome: Outcome) -> None:
        """Write down how it ended."""
        self._write(EXIT, asdict(outcome))

    def _open_lock(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        return os.open(self.path / LOCK, flags, 0o600)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            text = (self.path / name).read_text()
        except FileNotFoundError:
            return None
        record: dict[str, Any] = json.loads(text)
        return record

    def _write(self, name: str, record: dict[str, Any]) -> None:
        """Write a file that is there as a whole or not at all."""
        draft = self.path / f".{name}"
        with draft.open("w") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self.path / name)
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _whole_file() -> bytes:
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
