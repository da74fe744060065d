"""What every request passes: the ledger, the faults, and the token."""

import asyncio
import re
import time

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moderate.local.open_metadata import tokens
from moderate.local.open_metadata.errors import ApiError
from moderate.local.open_metadata.faults import RouteFault
from moderate.local.open_metadata.ledger import Call
from moderate.local.open_metadata.state import Server

API = "/api/"
# Asked without a token, as by whoever looks whether the server is there.
PUBLIC = frozenset({"/api/v1/system/version", "/api/v1/system/status"})
CONVERTER = re.compile(r":\w+(?=})")


class Gate:
    """ASGI middleware around the whole API.

    Args:
        app: The API.
        server: What the emulator is made of.
    """

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self._app = app
        self._server = server

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Take one request."""
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._app(scope, receive, send)
            return
        began = time.time()
        answered = _Answered(send)
        await self._serve(scope, receive, answered)
        if answered.status is not None:
            self._note(scope, began, answered.status)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._server.faults.on_request(scope["method"], scope["path"])
        if self._server.faults.faults.down:
            await _gone()(scope, receive, send)
        elif fault is None:
            await self._check_and_pass(scope, receive, send)
        else:
            await self._fail(fault, scope, receive, send)

    async def _fail(
        self, fault: RouteFault, scope: Scope, receive: Receive, send: Send
    ) -> None:
        await asyncio.sleep(fault.latency_ms / 1000)
        if fault.hold:
            await self._server.faults.until_replaced()
        if fault.hang:
            await _until_gone(receive)
            return
        if fault.status is None:
            await self._check_and_pass(scope, receive, send)
            return
        if fault.after_effect:
            await self._check_and_pass(scope, receive, _drop)
        await _answer(fault, fault.status)(scope, receive, send)

    async def _check_and_pass(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            self._check(scope)
        except ApiError as refusal:
            await refusal.response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        if scope["path"] in PUBLIC:
            return
        if self._server.faults.faults.expired_token:
            raise tokens.expired()
        tokens.check(
            Headers(scope=scope).get("authorization"),
            self._server.settings.signing_key,
        )

    def _note(self, scope: Scope, began: float, status: int) -> None:
        route = str(getattr(scope.get("route"), "path", scope["path"]))
        call = Call(
            at=began,
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            status=status,
            seconds=time.time() - began,
            rows=scope.get("state", {}).get("rows"),
        )
        self._server.ledger.called(CONVERTER.sub("", route), call)


class _Answered:
    """A ``send`` that remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _answer(fault: RouteFault, status: int) -> Response:
    headers = {}
    if fault.retry_after_seconds is not None:
        headers["Retry-After"] = str(fault.retry_after_seconds)
    return JSONResponse(
        {"code": status, "message": fault.message}, status, headers
    )


def _gone() -> Response:
    return HTMLResponse("<h1>503 Service Unavailable</h1>", 503)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drop(_: Message) -> None:
    pass
