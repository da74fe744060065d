"""A small real HTTP server whose answers a test scripts."""

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """What the server was asked."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What the server answers; ``text`` instead of JSON where given."""

    status: int = 200
    body: Any = None
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        if self.text is not None:
            return self.text.encode()
        return json.dumps(self.body).encode()


Raw = Callable[["Handler"], None]
"""Takes the connection over: to be slow, to break off, to say nonsense."""

Answerer = Callable[[Request], Reply | Raw]


class Handler(BaseHTTPRequestHandler):
    """Answers from the peer's script."""

    protocol_version = "HTTP/1.1"
    peer: "Peer"

    def _answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        url = urlsplit(self.path)
        headers = {k.lower(): v for k, v in self.headers.items()}
        request = Request(
            self.command,
            url.path,
            parse_qs(url.query),
            headers,
            self.rfile.read(length),
        )
        self.peer.seen.append(request)
        reply = self.peer.answer(request)
        if isinstance(reply, Reply):
            self.reply(reply)
        else:
            self.close_connection = True
            reply(self)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):  # Whatever the method.
            return self._answer
        raise AttributeError(name)

    def reply(self, reply: Reply) -> None:
        content = reply.content()
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Keep silent."""


class Peer:
    """The server's script and what it was asked.

    Attributes:
        url: Where it listens.
        answer: Called, in the server's threads, for every request.
        seen: The requests, oldest first.
        released: Set when the test is over; slow answers wait for it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: deque[Request] = deque()
        self.released = threading.Event()
        self.answer: Answerer = lambda _request: Reply(404, text="unscripted")

    def replies(self, *replies: Reply | Raw) -> None:
        """Answer with each of ``replies`` in turn, then with the last."""
        left = deque(replies)

        def answer(_request: Request) -> Reply | Raw:
            return left.popleft() if len(left) > 1 else left[0]

        self.answer = answer

    def asked(self, method: str, path: str) -> list[Request]:
        """Return the requests to one route."""
        return [r for r in self.seen if (r.method, r.path) == (method, path)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """Keep silent: broken connections are what tests are about."""


@contextmanager
def serving() -> Iterator[Peer]:
    """Run a peer on a free port for the length of the block."""

    class Bound(Handler):
        pass

    server = _Server(("127.0.0.1", 0), Bound)
    peer = Peer(f"http://127.0.0.1:{server.server_port}")
    Bound.peer = peer
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    try:
        yield peer
    finally:
        peer.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def reset(handler: Handler) -> None:
    """Break the connection off with a TCP reset."""
    handler.connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    handler.connection.close()


def close_silently(handler: Handler) -> None:
    """Close without a word, as a server does with an idle connection."""
    handler.connection.shutdown(socket.SHUT_RDWR)


def truncated(handler: Handler) -> None:
    """Promise more bytes than come."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def nonsense(handler: Handler) -> None:
    """Speak something else than HTTP."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


def never(handler: Handler) -> None:
    """Take the request and say nothing."""
    handler.peer.released.wait(30)


def dripping(handler: Handler) -> None:
    """Send one byte every now and then, for ever."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")
    while not handler.peer.released.wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()
