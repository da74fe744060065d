"""A file server with moods, and the command as users run it."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from moderate_tests.unit.workloads.samples import ENVIRONMENT

COMMAND = [sys.executable, "-m", "moderate.workloads.matrix_profile"]
TIMEOUT_SECONDS = 120
SIGNATURE = "X-Amz-Credential=canary-id&X-Amz-Signature=canary-signature"
SECRETS = ("canary-id", "canary-signature", "canary-secret-key")
ENDLESS_CHUNK = b"x,y\n" * 4096


@dataclass
class FileServer:
    """Serves files under any name, or a fault of the wished kind."""

    files: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    # Files that break off after half of their bytes.
    broken: set[str] = field(default_factory=set)
    # Files that never end.
    endless: set[str] = field(default_factory=set)
    hits: list[str] = field(default_factory=list)
    port: int = 0

    def url(self, path: str) -> str:
        """A presigned address of a file."""
        return f"http://127.0.0.1:{self.port}/{path}?{SIGNATURE}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        files = self.server.files
        name = self.path.partition("?")[0].removeprefix("/")
        files.hits.append(name)
        if name in files.statuses:
            self._answer(files.statuses[name], b"<Error>no</Error>")
        elif name in files.endless:
            self._never_end()
        elif name in files.files:
            self._answer(200, files.files[name], half=name in files.broken)
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def _answer(self, status: int, body: bytes, *, half: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if half else body)
        self.close_connection = True

    def _never_end(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            while True:
                self.wfile.write(ENDLESS_CHUNK)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: FileServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    files = FileServer()
    with _Server(files) as server:
        files.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield files
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Ended:
    """How a run of the command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def summary(self) -> str:
        """The line for people."""
        return self.stderr.splitlines()[-1]


def run_command(**environment: str) -> Ended:
    """Runs the command with nothing else in its environment."""
    inherited = {
        name: os.environ[name]
        for name in ("PATH", "COVERAGE_PROCESS_START")
        if name in os.environ
    }
    done = subprocess.run(
        COMMAND,
        env={**inherited, **ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
