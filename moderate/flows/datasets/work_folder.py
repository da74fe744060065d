"""Where files lie between the platform and their repository.

A run has one folder per dataset, locked for as long as its process lives: the
next run removes every folder that nobody holds, whatever became of the run
that made it.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moderate.errors import TemporaryError

RESERVE_BYTES = 256 * 1024 * 1024
"""Bytes that stay free on the disk."""

OUTPUT_FACTOR = 2.2
"""Bytes of Parquet and CSV together for a byte of source, at the most."""

_LOCK = "lock"
_held: dict[Path, int] = {}


class DiskFullError(TemporaryError):
    """There is not enough room for what is to be done."""


class FolderGoneError(TemporaryError):
    """Files of an earlier run are wanted that are no longer there."""


def begin(root: Path, dataset: str, run_id: str) -> Path:
    """Return a new folder, locked; remove what dead runs have left."""
    parent = root / dataset
    parent.mkdir(parents=True, exist_ok=True)
    with _locked(parent / ".lock"):
        for left in parent.iterdir():
            if left.is_dir() and left not in _held and _try_lock(left):
                # A git that has outlived its run may still write there: what
                # can't be removed now is left to the next run.
                with suppress(OSError):
                    _remove(left)
        folder = parent / run_id
        folder.mkdir(exist_ok=True)
        _try_lock(folder)
    return folder


def resume(folder: Path) -> None:
    """Hold a folder of this process or of one that has ended.

    Raises:
        FolderGoneError: It was removed, or another run holds it.
    """
    if folder not in _held and not (folder.is_dir() and _try_lock(folder)):
        msg = (
            f"the converted files in {folder} are gone: materialise the"
            " dataset's own asset again, together with this one"
        )
        raise FolderGoneError(msg)


def end(folder: Path) -> None:
    """Remove a folder that this process holds."""
    if folder in _held:
        _remove(folder)


def require_space(folder: Path, needed: float) -> None:
    """Make sure that so many bytes can be written, and a reserve.

    Raises:
        DiskFullError: They can't.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE_BYTES:
        mebibyte = 1024 * 1024
        msg = (
            f"{folder} has {free / mebibyte:.0f} MiB free, and"
            f" {(needed + RESERVE_BYTES) / mebibyte:.0f} MiB are needed"
        )
        raise DiskFullError(msg)


def _try_lock(folder: Path) -> bool:
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    _held[folder] = handle
    return True


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    finally:
        os.close(_held.pop(folder))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
