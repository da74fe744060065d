"""How the programs ``git`` and ``git-lfs`` are started, bounded and ended."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from moderate.errors import PermanentError, TemporaryError
from moderate.redaction import Redactor

SCHEMES = ("https", "ssh", "file")
"""How a repository may be reached."""

PROGRESS_SECONDS = 5.0
"""Between two lines about what takes long."""

_LONGEST_REASON = 500
_SLOWEST_BYTES_PER_SECOND = 1000
_SLOW_SECONDS = 60
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
)
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    # A link is checked out as the text that it holds.
    "core.symlinks": "false",
    "core.quotePath": "false",
    "core.sparseCheckout": "true",
    "core.sparseCheckoutCone": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.lowSpeedLimit": str(_SLOWEST_BYTES_PER_SECOND),
    "http.lowSpeedTime": str(_SLOW_SECONDS),
    "lfs.concurrenttransfers": "2",
    "lfs.activitytimeout": str(_SLOW_SECONDS),
    "protocol.allow": "never",
}

_redactor = Redactor()


class GitRefusedError(PermanentError):
    """The repository, as it is, can't give what was asked for."""


class GitUnavailableError(TemporaryError):
    """Git did not get through to the repository, or not in time."""


class Git:
    """Runs commands in one clone.

    Args:
        folder: The clone.
        url: Its remote; for messages.
        scheme: The one of ``SCHEMES`` that its remote is reached by; no
            other is allowed.
        timeout: Seconds that one command may take.
    """

    def __init__(
        self, folder: Path, url: str, scheme: str, timeout: float
    ) -> None:
        self._folder = folder
        self._url = url
        self._scheme = scheme
        self._timeout = timeout

    def __call__(self, *arguments: str) -> bytes:
        """Run a command and return what it writes; see ``run``."""
        return self.run(arguments)

    def run(
        self,
        arguments: Sequence[str],
        *,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: IO[bytes] | int = subprocess.PIPE,
        more: Mapping[str, str] | None = None,
        watch: Callable[[], None] | None = None,
    ) -> bytes:
        """Run a command and return what it writes.

        Args:
            arguments: The command and what follows it.
            stdin: What it reads.
            stdout: Where it writes, if not to the result.
            more: More of its environment.
            watch: Called every ``PROGRESS_SECONDS``.

        Raises:
            GitUnavailableError: It failed, or took too long. What it said is
                in the message, redacted.
        """
        config = {**_CONFIG, f"protocol.{self._scheme}.allow": "always"}
        options = [
            part
            for name, value in config.items()
            for part in ("-c", f"{name}={value}")
        ]
        try:
            process = subprocess.Popen(
                ["git", *options, *arguments],
                cwd=self._folder,
                env=_environment() | dict(more or {}),
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            msg = "git is not installed"
            raise GitUnavailableError(msg) from error
        out, err = self._await(process, arguments[0], watch)
        if process.returncode != 0:
            reason = _reason(err)
            msg = f"git {arguments[0]} of {self._url} failed: {reason}"
            raise GitUnavailableError(msg)
        return out or b""

    def _await(
        self,
        process: "subprocess.Popen[bytes]",
        what: str,
        watch: Callable[[], None] | None,
    ) -> tuple[bytes, bytes]:
        deadline = time.monotonic() + self._timeout
        try:
            while True:
                left = deadline - time.monotonic()
                try:
                    return process.communicate(
                        timeout=min(PROGRESS_SECONDS, max(left, 0))
                    )
                except subprocess.TimeoutExpired:
                    if left <= 0:
                        raise
                    if watch:
                        watch()
        except BaseException as error:
            _kill(process)
            if isinstance(error, subprocess.TimeoutExpired):
                msg = f"git {what} of {self._url}: over {self._timeout:g} s"
                raise GitUnavailableError(msg) from error
            raise


def _environment() -> dict[str, str]:
    kept = {
        name: os.environ[name] for name in _ENVIRONMENT if name in os.environ
    }
    return {
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        **kept,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_LFS_SKIP_SMUDGE": "0",
        "LC_ALL": "C",
    }


def _reason(err: bytes) -> str:
    text = _redactor.redact(err.decode(errors="replace"))
    return " ".join(text.split())[-_LONGEST_REASON:] or "no reason given"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End git and whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()
