"""One live stack a folder: a lock that ends with its holder."""

import fcntl
import os
from pathlib import Path
from typing import IO


class FolderLock:
    """The lock of a stack's folder; its file names the holder's process.

    The kernel lets go of it when the holder ends, however it ends, and no
    child of the holder inherits it.

    Args:
        root: The stack's folder.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / "stack.lock"
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """Take the lock; False when a live process holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return True

    def release(self) -> None:
        """Let go of the lock, if it is held here."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def holder(self) -> int | None:
        """The process id of the live holder, None without one."""
        if not self._path.exists():
            return None
        with self._path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0) or None
        return None
