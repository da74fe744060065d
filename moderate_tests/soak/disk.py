"""A disk that is full, without root and without a small file system."""

import contextlib
import resource

import psutil

from moderate.local.services.s3 import S3


def fill(s3: S3) -> bool:
    """Let no file of S3 grow; say whether that could be done.

    The server is told EFBIG in place of ENOSPC, and answers both alike.
    """
    return _limit(s3, 0)


def clear(s3: S3) -> bool:
    """Let files of S3 grow again; say whether that could be done."""
    return _limit(s3, resource.RLIM_INFINITY)


def _limit(s3: S3, size: int) -> bool:
    if not s3.running:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(s3.process.pid)
        _, most = process.rlimit(resource.RLIMIT_FSIZE)
        # What it has as its own limit stays the highest.
        process.rlimit(
            resource.RLIMIT_FSIZE,
            (most if size == resource.RLIM_INFINITY else size, most),
        )
        return True
    return False
