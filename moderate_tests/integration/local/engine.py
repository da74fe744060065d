"""A stand-in for Docker: a program of its name, and an engine behind it.

The engine is in the test's process, as a real one is in none of ours: what a
guard kills does not end a container. A container serves HTTP on the port that
compose.yaml would give it, and answers 200 to everything.
"""

import json
import socketserver
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LONG_SECONDS = 120.0
PROGRAM = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as engine:
    try:
        engine.connect(os.environ["DOCKER_HOST"])
    except (KeyError, OSError):
        sys.exit(1)  # a client without an engine
    with engine.makefile("rw") as talk:
        told = {{"arguments": sys.argv[1:], "variables": dict(os.environ)}}
        talk.write(json.dumps(told) + "\\n")
        talk.flush()
        sys.exit(int(talk.readline() or 1))
"""


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


class Container:
    """What runs on a port until it is ended."""

    def __init__(self, port: int) -> None:
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _Answer)
        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            daemon=True,
        ).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.ended.set()


@dataclass
class Engine:
    """What Docker would have done.

    Attributes:
        folder: Where its program and socket are.
        pulls: Whether it gets images.
        calls: The command lines that it got.
        variables: The environment of the last one.
        containers: What runs, by the name of its service.
    """

    folder: Path
    pulls: bool = True
    calls: list[list[str]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def socket(self) -> str:
        return str(self.folder / "socket")

    @property
    def commands(self) -> list[list[str]]:
        """What Compose was asked for, without the project."""
        return [
            call[call.index("--project-name") + 2 :]
            for call in self.calls
            if "--project-name" in call
        ]

    def end(self, name: str) -> None:
        """End a container, as if it had done so by itself."""
        with self.lock:
            container = self.containers.pop(name, None)
        if container:
            container.end()

    def run(self, arguments: list[str], variables: dict[str, str]) -> int:
        self.calls.append(arguments)
        self.variables = variables
        match self.commands[-1] if "--project-name" in arguments else []:
            case ["up", "--no-start", *_]:
                return 0 if self.pulls else 18
            case ["up", "--detach", "--no-deps", name]:
                port = int(variables[f"{name.upper()}_PORT"])
                with self.lock:
                    if name not in self.containers:
                        self.containers[name] = Container(port)
            case ["logs", "--follow", "--no-log-prefix", name]:
                with self.lock:
                    container = self.containers.get(name)
                if container:
                    container.ended.wait(LONG_SECONDS)
            case ["stop" | "kill", name]:
                self.end(name)
            case ["down", *_]:
                for name in list(self.containers):
                    self.end(name)
        return 0


@contextmanager
def docker() -> Iterator[Engine]:
    """Run an engine; ``folder`` has to be the first of the path."""
    # A socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="docker-") as name:
        engine = Engine(Path(name))
        program = engine.folder / "docker"
        program.write_text(PROGRAM.format(python=sys.executable))
        program.chmod(0o755)

        class Talk(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                told = json.loads(self.rfile.readline())
                code = engine.run(told["arguments"], told["variables"])
                self.wfile.write(f"{code}\n".encode())

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that was killed does not read."""

        with Server(engine.socket, Talk) as server:
            threading.Thread(
                target=server.serve_forever,
                kwargs={"poll_interval": 0.02},
                daemon=True,
            ).start()
            yield engine
            for container in list(engine.containers):
                engine.end(container)
            server.shutdown()
