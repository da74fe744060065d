"""Fetches the table into an unnamed temporary file, within bounds."""

import contextlib
import http
import tempfile
import time
from collections.abc import Callable
from typing import IO
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError

from moderate.workloads.matrix_profile.errors import InputError, TransferError

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
# For the whole body; a peer that sends a byte a minute must not hold us.
TOTAL_SECONDS = 1800.0
# Few and quick: whoever launched us decides on later tries.
RETRIES = 2
BACKOFF_SECONDS = 0.3
CHUNK_BYTES = 1024 * 1024
LONGEST_NAME = 120

# What may pass with time; every other refusal is final.
TEMPORARY_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
_GONE = frozenset({401, 403, 404, 410})


def download(
    url: str,
    *,
    max_bytes: int,
    now: Callable[[], float] = time.monotonic,
) -> IO[bytes]:
    """Downloads a file.

    Args:
        url: An http or https address.
        max_bytes: A larger file is refused, as soon as that is known.
        now: A clock in seconds.

    Returns:
        The file, at its beginning; it has no name, so nothing is left behind
        however the process ends.

    Raises:
        InputError: The address leads nowhere or the file is too large.
        TransferError: The transfer failed in a way that may pass.
    """
    retries = urllib3.Retry(
        total=RETRIES,
        status=0,
        backoff_factor=BACKOFF_SECONDS,
        respect_retry_after_header=False,
        raise_on_status=False,
    )
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    deadline = now() + TOTAL_SECONDS
    try:
        with urllib3.PoolManager(retries=retries, timeout=timeout) as pool:
            answer = pool.request("GET", url, preload_content=False)
            try:
                _check_status(answer.status)
                _check_length(answer.headers.get("Content-Length"), max_bytes)
                return _receive(
                    answer, max_bytes, expired=lambda: now() > deadline
                )
            finally:
                answer.close()
    except LocationValueError as error:
        raise InputError("the file's link is not a valid address") from error
    except HTTPError as error:
        raise TransferError(
            "the file could not be downloaded: the connection failed"
        ) from error
    except OSError as error:
        # urllib3 wraps those of the network: this is the temporary file.
        raise TransferError(
            "the file could not be kept on the worker's disk"
        ) from error


def _check_status(status: int) -> None:
    if status == http.HTTPStatus.OK:
        return
    if status in TEMPORARY_STATUSES:
        raise TransferError(
            f"the file could not be downloaded: its store answered {status}"
        )
    if status in _GONE:
        raise InputError("the file's link has expired or the file is gone")
    raise InputError(f"the file's store refused the download ({status})")


def _check_length(header: str | None, max_bytes: int) -> None:
    if header is not None and header.isdigit() and int(header) > max_bytes:
        raise _too_large(max_bytes)


def _receive(
    answer: urllib3.BaseHTTPResponse,
    max_bytes: int,
    *,
    expired: Callable[[], bool],
) -> IO[bytes]:
    with contextlib.ExitStack() as on_failure:
        file = on_failure.enter_context(tempfile.TemporaryFile())
        for chunk in answer.stream(CHUNK_BYTES, decode_content=True):
            if file.tell() + len(chunk) > max_bytes:
                raise _too_large(max_bytes)
            if expired():
                raise TransferError(
                    "the file could not be downloaded: it came too slowly"
                )
            file.write(chunk)
        file.seek(0)
        on_failure.pop_all()
    return file


def _too_large(max_bytes: int) -> InputError:
    return InputError(
        "the file is too large: more than "
        f"{max_bytes / 1024**2:,.4g} MiB are not analysed"
    )


def file_name(url: str) -> str:
    """Names the file of an address, without its signature.

    Args:
        url: An http or https address.

    Returns:
        The last part of its path, printable, not too long.
    """
    name = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    printable = "".join(c if c.isprintable() else " " for c in name).strip()
    return printable[:LONGEST_NAME] or "(unnamed)"
