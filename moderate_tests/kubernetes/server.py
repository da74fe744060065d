"""The API over HTTP, as far as an analysis meets it."""

import base64
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from moderate_tests.kubernetes.selectors import is_chosen
from moderate_tests.kubernetes.store import (
    ApiError,
    Json,
    Key,
    Store,
    invalid,
    merge,
)

PATH = re.compile(
    r"/(?:api/v1|apis/batch/v1)/namespaces/(?P<namespace>[^/]+)"
    r"/(?P<resource>jobs|pods|secrets|events|serviceaccounts)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>log|status))?"
)
MUTABLE_OF_JOBS = frozenset(
    {
        "activeDeadlineSeconds",
        "backoffLimit",
        "parallelism",
        "suspend",
        "ttlSecondsAfterFinished",
    }
)
MUTABLE_OF_PODS = frozenset({"activeDeadlineSeconds", "tolerations"})
BOOKMARK_SECONDS = 1.0

Logs = Callable[[Json, dict[str, str]], Iterator[bytes]]


class ApiServer:
    """Serves a store on a port of this machine; may be killed and restarted.

    Args:
        store: What it serves; outlives it, as etcd does.
        logs: Reads a pod's log from its node.
        check: Raises where a Job doesn't fit the API's schema.

    Attributes:
        requests: All that it was asked.
        failing: The status that all get while it is set.
        drops: Whether the answer to a method gets lost.
        before: Called with method and path before a request is served; what
            it raises is the answer.
        ahead: How far its clock is ahead of this machine's.
        tls: Certificate and key, where it speaks https.
        token: The only one that it accepts, where it asks for one.
    """

    def __init__(
        self, store: Store, logs: Logs, check: Callable[[Json], None]
    ) -> None:
        self.store = store
        self.logs = logs
        self.check = check
        self.requests: list[str] = []
        self.port = 0
        self.failing: int | None = None
        self.drops: Callable[[str], bool] = lambda method: False
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.ahead = timedelta()
        self.tls: tuple[Path, Path] | None = None
        self.token = ""
        self.lists: dict[str, tuple[int, list[Json]]] = {}
        self._sockets: set[socket.socket] = set()
        self._watches: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    @property
    def is_up(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        """Listen, on the same port as before."""
        api = self

        class Bound(_Handler):
            server_of = api

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """A client that went away is no fault."""

        self._server = Server(("127.0.0.1", self.port), Bound)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            plain = self._server.socket
            self._server.socket = context.wrap_socket(plain, server_side=True)
        self.port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            daemon=True,
        ).start()

    def kill(self) -> None:
        """Stop at once; whatever was under way breaks off."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        self._cut(self._sockets)
        with self.store.lock:
            self.store.changed.notify_all()

    def cut_watches(self) -> None:
        """Break all watches and log streams that are open."""
        self._cut(self._watches)

    def _cut(self, which: set[socket.socket]) -> None:
        with self._lock:
            for each in list(which):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def note(self, sock: socket.socket, *, is_open: bool) -> None:
        with self._lock:
            (self._sockets.add if is_open else self._sockets.discard)(sock)

    def note_watch(self, sock: socket.socket, *, is_open: bool) -> None:
        with self._lock:
            (self._watches.add if is_open else self._watches.discard)(sock)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: ApiServer

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server_of.note(self.connection, is_open=True)

    def finish(self) -> None:
        self.server_of.note(self.connection, is_open=False)
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        """Tests look at ``requests``."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        now = time.time() if timestamp is None else timestamp
        ahead = self.server_of.ahead.total_seconds()
        return super().date_time_string(now + ahead)

    def handle_one_request(self) -> None:
        with suppress(OSError):
            super().handle_one_request()
            return
        self.close_connection = True

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_GET  # noqa: N815  # as the base class calls it
    do_PATCH = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815

    def _answer(self) -> None:
        url = urlsplit(self.path)
        query = {k: v[-1] for k, v in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        self.server_of.requests.append(f"{self.command} {self.path}")
        try:
            self.server_of.before(self.command, self.path)
            self._route(self._parts(url.path), query, body)
        except ApiError as error:
            self._send(error.code, error.status)

    def _parts(self, path: str) -> dict[str, str]:
        if self.server_of.failing:
            code = self.server_of.failing
            raise ApiError(code, "InternalError", "it is overloaded")
        token = self.server_of.token
        given = self.headers.get("Authorization", "").casefold()
        if token and given != f"bearer {token}":
            raise ApiError(401, "Unauthorized", "Unauthorized")
        found = PATH.fullmatch(unquote(path))
        if not found:
            raise ApiError(404, "NotFound", "no such path")
        return found.groupdict()

    def _route(
        self, path: dict[str, str], query: dict[str, str], body: Json
    ) -> None:
        key = (path["resource"], path["namespace"], path["name"] or "")
        if path["sub"] == "log":
            self._log(key, query)
        elif self.command == "POST":
            self._send(201, self._create(key, body))
        elif self.command == "PATCH":
            self._send(200, self._patch(key, body))
        elif self.command == "DELETE":
            self._delete(key, query, body)
        elif key[2]:
            self._send(200, self.store.get(key))
        elif query.get("watch") == "true":
            self._watch(key, query)
        else:
            self._list(key, query)

    @property
    def store(self) -> Store:
        return self.server_of.store

    def _create(self, key: Key, body: Json) -> Json:
        resource, namespace, _ = key
        if resource == "jobs":
            self.server_of.check(body)
        if resource == "secrets":
            _encode(body)
        return self.store.create(resource, namespace, body)

    def _patch(self, key: Key, body: Json) -> Json:
        kind = self.headers.get("Content-Type", "")
        if kind != "application/merge-patch+json":
            raise ApiError(415, "UnsupportedMediaType", kind)
        if key[0] == "secrets":
            _encode(body)

        def edit(thing: Json) -> None:
            given = body.get("metadata", {})
            for name in ("resourceVersion", "uid"):
                if given.get(name, thing["metadata"][name]) != (
                    thing["metadata"][name]
                ):
                    message = f"the object has been modified: {name}"
                    raise ApiError(409, "Conflict", message)
            before = json.loads(json.dumps(thing))
            merge(thing, body)
            _check_update(key[0], before, thing)

        return self.store.change(key, edit)

    def _delete(self, key: Key, query: dict[str, str], body: Json) -> None:
        policy = query.get("propagationPolicy") or body.get(
            "propagationPolicy"
        )
        grace = body.get("gracePeriodSeconds")
        with self.store.lock:
            thing = self.store.get(key)
            for name, value in (body.get("preconditions") or {}).items():
                if thing["metadata"][name] != value:
                    message = f"the {name} in the precondition differs"
                    raise ApiError(409, "Conflict", message)
            # batch/v1 Jobs alone have the policy of old: orphan.
            if key[0] == "jobs" and policy in (None, "Orphan"):
                self._finalize(key, "orphan")
            elif key[0] == "jobs" and policy == "Foreground":
                self._finalize(key, "foregroundDeletion")
            self.store.delete(key, grace)
        self._send(200, thing)

    def _finalize(self, key: Key, name: str) -> None:
        self.store.change(
            key, lambda thing: thing["metadata"].update(finalizers=[name])
        )

    def _list(self, key: Key, query: dict[str, str]) -> None:
        """Answer with a page of what there was when the first was asked."""
        version, items = self._rest(key, query)
        limit = int(query.get("limit") or 0) or len(items)
        metadata: Json = {"resourceVersion": str(version)}
        if items[limit:]:
            metadata["continue"] = token = uuid4().hex
            self.server_of.lists[token] = (version, items[limit:])
        page = {"kind": "List", "metadata": metadata, "items": items[:limit]}
        self._send(200, page)

    def _rest(self, key: Key, query: dict[str, str]) -> tuple[int, list[Json]]:
        with self.store.lock:
            if query.get("continue"):
                version, items = self.server_of.lists[query["continue"]]
                next(self.store.since(version), None)  # it may be forgotten
                return version, items
            items = self.store.find(key[0], key[1])
            version = self.store.version
        return version, [each for each in items if is_chosen(each, query)]

    def _watch(self, key: Key, query: dict[str, str]) -> None:
        version = int(query.get("resourceVersion") or 0)
        end = time.monotonic() + float(query.get("timeoutSeconds", 1800))
        self._open_stream("application/json")
        self.server_of.note_watch(self.connection, is_open=True)
        try:
            self._tell(key, query, version, end)
            self.wfile.write(b"0\r\n\r\n")
        finally:
            self.server_of.note_watch(self.connection, is_open=False)

    def _tell(
        self, key: Key, query: dict[str, str], version: int, end: float
    ) -> None:
        told = time.monotonic()
        while time.monotonic() < end and self.server_of.is_up:
            try:
                changes = list(self.store.since(version))
            except ApiError as error:
                # Not a status of HTTP: the answer has begun.
                self._event("ERROR", error.status)
                return
            for change in changes:
                version = change.version
                if change.key[:2] == key[:2] and is_chosen(
                    change.thing, query
                ):
                    self._event(change.type, change.thing)
                    told = time.monotonic()
            if time.monotonic() - told > BOOKMARK_SECONDS:
                mark = {"metadata": {"resourceVersion": str(version)}}
                self._event("BOOKMARK", mark)
                told = time.monotonic()
            with self.store.lock:
                if self.store.version == version:
                    self.store.changed.wait(BOOKMARK_SECONDS)

    def _event(self, kind: str, thing: Json) -> None:
        line = json.dumps({"type": kind, "object": thing})
        self._chunk(line.encode() + b"\n")

    def _log(self, key: Key, query: dict[str, str]) -> None:
        chunks = self.server_of.logs(self.store.get(key), query)
        first = next(chunks, b"")  # raises what has a status of its own
        self._open_stream("text/plain")
        self.server_of.note_watch(self.connection, is_open=True)
        try:
            if first:
                self._chunk(first)
            for chunk in chunks:
                self._chunk(chunk)
            self.wfile.write(b"0\r\n\r\n")
        finally:
            self.server_of.note_watch(self.connection, is_open=False)

    def _open_stream(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _send(self, code: int, body: Json) -> None:
        if self.server_of.drops(self.command):
            # It was done, and nobody is told.
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _encode(secret: Json) -> None:
    """Move ``stringData`` to ``data``, as the server does."""
    for name, text in (secret.pop("stringData", None) or {}).items():
        coded = base64.b64encode(text.encode()).decode()
        secret.setdefault("data", {})[name] = coded


def _check_update(resource: str, before: Json, after: Json) -> None:
    mutable = {"jobs": MUTABLE_OF_JOBS, "pods": MUTABLE_OF_PODS}.get(resource)
    if mutable is None:
        return
    old, new = before["spec"], after["spec"]
    for name in (old.keys() | new.keys()) - mutable:
        if old.get(name) != new.get(name):
            raise invalid(f"spec.{name}: field is immutable")
    limits = [spec.get("activeDeadlineSeconds") for spec in (old, new)]
    is_more = limits[0] and (limits[1] is None or limits[1] > limits[0])
    if resource == "pods" and is_more:
        raise invalid("spec.activeDeadlineSeconds: must be less")
