"""What stands before the API: the gateway with its login and its checks."""

import asyncio
import contextlib
import json
import logging
import re
from typing import Any
from urllib.parse import parse_qsl

import httpx
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moderate.local.platform_api.errors import (
    as_text,
    fault_response,
    gateway_message,
    keycloak_refusal,
)
from moderate.local.platform_api.faults import RouteFault
from moderate.local.platform_api.state import Platform
from moderate.local.platform_api.tokens import (
    KeycloakUnreachableError,
    RefusedTokenError,
    User,
)

log = logging.getLogger(__name__)

CONTROL_PREFIX = "/_emulator/"
TOKEN_PATH = "/api/token"  # noqa: S105
TOKEN_CONTENT_TYPE = "application/x-www-form-urlencoded"  # noqa: S105
PUBLIC = re.compile(r"/ping/public|/asset/public(/.*)?")
NUMBER = re.compile(r"(?<=/)\d+(?=/|$)")
BEARER = re.compile(r"bearer\s+(.+)", re.IGNORECASE)


class Gateway:
    """ASGI middleware around the whole API.

    Args:
        app: The API.
        platform: What the emulator is made of.
    """

    def __init__(self, app: ASGIApp, platform: Platform) -> None:
        self._app = app
        self._platform = platform

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Take one request."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        counted = _Counted(send)
        await self._serve(scope, receive, counted)
        if counted.status is not None:
            route = NUMBER.sub("{id}", scope["path"])
            self._platform.ledger.requested(
                f"{scope['method']} {route}", counted.status
            )

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._platform.faults.on_request(
            scope["method"], scope["path"]
        )
        if fault is None:
            await self._check_and_pass(scope, receive, send)
            return
        await asyncio.sleep(fault.latency_ms / 1000)
        if fault.hang:
            await _until_gone(receive)
        elif fault.status is None:
            await self._check_and_pass(scope, receive, send)
        else:
            if fault.after_effect:
                await self._check_and_pass(scope, receive, _drop)
            answer = _fault_answer(fault, fault.status)
            await answer(scope, receive, send)

    async def _check_and_pass(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        headers = Headers(scope=scope)
        if _asks_for_token(scope, headers):
            refusal: Response | None = await self._login(scope, receive)
        elif PUBLIC.fullmatch(scope["path"]):
            refusal = None
            with contextlib.suppress(KeycloakUnreachableError):
                await self._recognise(scope, headers)
        else:
            refusal = await self._authorise(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, _with_cookie(scope, send))

    async def _login(self, scope: Scope, receive: Receive) -> Response:
        try:
            form = await _read_form(scope, receive)
        except ClientDisconnect:
            return Response(status_code=400)
        for field in ("username", "password"):
            if not form.get(field):
                return gateway_message(422, f"{field} is missing.")
        try:
            answer = await self._platform.keycloak.login(
                form["username"], form["password"]
            )
        except httpx.HTTPError as error:
            log.warning("Keycloak can't be reached: %r", error)
            # The gateway says 401 here, too.
            return gateway_message(401, "Accessing token endpoint URL failed.")
        return _token_answer(answer)

    async def _authorise(
        self, scope: Scope, headers: Headers
    ) -> Response | None:
        if "authorization" not in headers:
            return gateway_message(401, "Missing JWT token in request")
        try:
            user = await self._recognise(scope, headers)
        except KeycloakUnreachableError as error:
            log.warning("Keycloak can't be reached: %s", error)
            message = f"Error while sending authz request: {error}"
            return PlainTextResponse(message, 500)
        if user is None:
            return keycloak_refusal(401)
        return None if user.is_enabled else keycloak_refusal(403)

    async def _recognise(self, scope: Scope, headers: Headers) -> User | None:
        """Find out who asks and leave that in the scope."""
        given = headers.get("authorization", "")
        bearer = BEARER.fullmatch(given)
        token = bearer[1] if bearer else given
        state = scope.setdefault("state", {})
        state["user"] = None
        try:
            user = await self._platform.keycloak.check(token)
        except RefusedTokenError as error:
            log.debug("token refused: %s", error)
            return None
        if user.is_enabled:
            state["user"] = user
            state["token"] = token
        return user


class _Counted:
    """A ``send`` that remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _asks_for_token(scope: Scope, headers: Headers) -> bool:
    # The gateway compares the content type exactly: with a charset it takes
    # the request for an ordinary one, which needs a token.
    return (
        scope["method"] == "POST"
        and scope["path"] == TOKEN_PATH
        and headers.get("content-type") == TOKEN_CONTENT_TYPE
    )


async def _read_form(scope: Scope, receive: Receive) -> dict[str, str]:
    body = await Request(scope, receive).body()
    return dict(parse_qsl(body.decode("utf-8", "replace")))


def _token_answer(answer: httpx.Response) -> Response:
    """Keycloak's answer as the gateway passes it on."""
    if answer.status_code != 200:
        return gateway_message(401, "Could not decode JSON from response.")
    try:
        content: Any = answer.json()
    except json.JSONDecodeError:
        return gateway_message(401, "Could not decode JSON from response.")
    return as_text(200, content)


def _with_cookie(scope: Scope, send: Send) -> Send:
    """A ``send`` that hands the token back, as the API does."""
    token = scope.get("state", {}).get("token")
    if token is None:
        return send
    cookie = f"access_token={token}; HttpOnly; Path=/; SameSite=strict; Secure"

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("set-cookie", cookie)
        await send(message)

    return send_with_cookie


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drop(_: Message) -> None:
    pass


def _fault_answer(fault: RouteFault, status: int) -> Response:
    return fault_response(status, fault.retry_after_seconds)
