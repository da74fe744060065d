"""A thin layer on httpx that says once what each failure means.

Rules (the kinds are those of ``moderate.errors``):

- 408, 425, 429, every 5xx, and everything that goes wrong on the network are
  temporary; ``Retry-After`` becomes the delay.
- Every other answer of 400 to 499 is permanent.
- A redirect is temporary: our peers never redirect, so the base URL is wrong
  (``http`` for ``https``), which is not the work item's fault.

Nothing is tried again here, except once after a renewed token (see
``moderate.clients.tokens``): the inbox alone retries.
"""

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from moderate.clients.errors import UnreadableAnswer
from moderate.errors import PermanentError, TemporaryError
from moderate.redaction import Redactor

RETRYABLE_STATUSES = frozenset({408, 425, 429})
"""Statuses under 500 by which a peer asks to come again."""

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""A peer may ask for more; we look again after this."""

LONGEST_DETAIL = 300
"""Characters of an answer's body that an error quotes."""

_LONGEST_ERROR_BODY = 65_536
_MOST_CONNECTIONS = 16
# Shorter than the 5 s after which uvicorn drops an idle connection: a request
# sent on one that is being closed fails.
_KEEP_ALIVE_SECONDS = 3.0

T = TypeVar("T")


@dataclass(frozen=True)
class Timeouts:
    """Bounds of one call, in seconds.

    Attributes:
        connect: Until the connection, TLS included, stands.
        read: Between two pieces of the answer, so also until its first.
        write: Between two pieces of the request.
        pool: Until one of our own connections is free.
        total: From the answer's first byte to its last; a peer that drips
            would otherwise hold us for ever.
    """

    connect: float = 5.0
    read: float = 15.0
    write: float = 15.0
    pool: float = 5.0
    total: float = 60.0

    def to_httpx(self) -> httpx.Timeout:
        """Return what httpx understands of it."""
        return httpx.Timeout(
            connect=self.connect,
            read=self.read,
            write=self.write,
            pool=self.pool,
        )


@dataclass(frozen=True)
class HttpFailure:
    """What an HTTP error knows of the answer.

    Attributes:
        status: The answer's status; ``None`` when there was no answer.
        detail: What the body says, redacted and cut short.
        body: The parsed JSON body; ``None`` when there was none.
    """

    status: int | None = None
    detail: str = ""
    body: Any = field(default=None, repr=False)


class _KnowsFailure:
    """What both kinds of HTTP error can be asked."""

    failure: HttpFailure

    @property
    def status(self) -> int | None:
        """The answer's status; ``None`` when there was no answer."""
        return self.failure.status

    @property
    def detail(self) -> str:
        """What the body says, redacted and cut short."""
        return self.failure.detail


class HttpPermanentError(_KnowsFailure, PermanentError):
    """The peer refused this request; sent again it is refused again."""

    def __init__(self, message: str, failure: HttpFailure) -> None:
        super().__init__(message)
        self.failure = failure


class HttpTemporaryError(_KnowsFailure, TemporaryError):
    """No answer, or one that asks to come again."""

    def __init__(
        self,
        message: str,
        failure: HttpFailure | None = None,
        *,
        delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, delay=delay)
        self.failure = failure or HttpFailure()


@dataclass(frozen=True)
class Answer:
    """A successful answer, read to its end."""

    label: str
    status: int
    headers: httpx.Headers
    content: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body parsed, whatever content type it claims.

        Raises:
            UnreadableAnswer: The body is not JSON.
        """
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError) as error:
            msg = f"{self.label}: the answer is not JSON"
            raise UnreadableAnswer(msg) from error

    def parsed(self, shape: TypeAdapter[T]) -> T:
        """Return the body as a value of ``shape``.

        Raises:
            UnreadableAnswer: It is not of that shape. The message says where
                and why, and shows nothing of the body.
        """
        try:
            return shape.validate_python(self.json())
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, fault["loc"])) or "body"
            msg = f"{self.label}: {where}: {fault['msg']}"
            raise UnreadableAnswer(msg) from None


class HttpClient:
    """Sends requests to one peer; shared by threads.

    Args:
        base_url: Where every path begins.
        auth: Adds a token to each request and renews it.
        timeouts: Bounds of each call.
        redactor: Cleans the text that errors quote.
        longest_body: Bytes that an answer may have.
        transport: Stands in for the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: httpx.Auth | None = None,
        timeouts: Timeouts | None = None,
        redactor: Redactor | None = None,
        longest_body: int = 32 * 1024 * 1024,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._redactor = redactor or Redactor()
        self._longest_body = longest_body
        self._client = httpx.Client(
            base_url=base_url,
            auth=auth,
            timeout=self._timeouts.to_httpx(),
            transport=transport,
            verify=_tls(),
            follow_redirects=False,
            cookies=_no_cookies(),
            limits=httpx.Limits(
                max_connections=_MOST_CONNECTIONS,
                keepalive_expiry=_KEEP_ALIVE_SECONDS,
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        timeouts: Timeouts | None = None,
        **options: Any,
    ) -> Answer:
        """Send one request and read its answer to the end.

        Args:
            method: HTTP method.
            path: Below the base URL.
            timeouts: Instead of the client's own.
            **options: ``params``, ``json``, ``content``, ``data``, ``files``
                and ``headers``, as httpx takes them.

        Raises:
            HttpPermanentError: The peer refused the request.
            HttpTemporaryError: No answer, or one that asks to come again.
            UnreadableAnswer: The answer is longer than we take.
        """
        bounds = timeouts or self._timeouts
        label = f"{method} {path}"
        try:
            with self._client.stream(
                method, path, timeout=bounds.to_httpx(), **options
            ) as response:
                return self._read(label, response, bounds.total)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            text = self._redactor.redact(str(error)) or "no more is known"
            msg = f"{label}: {type(error).__name__}: {text}"
            raise HttpTemporaryError(msg) from error

    def _read(
        self, label: str, response: httpx.Response, seconds: float
    ) -> Answer:
        if not response.is_success:
            raise self._failed(label, response, seconds)
        content = _body(label, response, self._longest_body, seconds)
        if len(content) > self._longest_body:
            msg = f"{label}: an answer over {self._longest_body} bytes"
            raise UnreadableAnswer(msg)
        return Answer(label, response.status_code, response.headers, content)

    def _failed(
        self, label: str, response: httpx.Response, seconds: float
    ) -> HttpPermanentError | HttpTemporaryError:
        content = _body(label, response, _LONGEST_ERROR_BODY, seconds)
        body = _parsed(content)
        text = self._redactor.redact(
            _said(body) or content.decode(errors="replace")
        )
        detail = " ".join(text.split())[:LONGEST_DETAIL]
        failure = HttpFailure(response.status_code, detail, body)
        msg = f"{label}: {response.status_code} {detail}".rstrip()
        if _is_permanent(response.status_code):
            return HttpPermanentError(msg, failure)
        if response.is_redirect:
            msg = f"{label}: redirected; is the base URL right?"
        delay = retry_after(response.headers)
        return HttpTemporaryError(msg, failure, delay=delay)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Return how long the peer asks us to wait (RFC 9110, 10.2.3).

    Seconds, or a date, which is compared with the answer's own date where it
    has one, so that our clock and the peer's may differ. At most
    ``LONGEST_RETRY_AFTER``; ``None`` when absent or not understood.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        seconds = min(float(value), LONGEST_RETRY_AFTER.total_seconds())
        return timedelta(seconds=seconds)
    due = _http_date(value)
    if due is None:
        return None
    now = _http_date(headers.get("date", "")) or datetime.now(UTC)
    return min(max(due - now, timedelta()), LONGEST_RETRY_AFTER)


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # A year of too many digits.
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _is_permanent(status: int) -> bool:
    return 400 <= status < 500 and status not in RETRYABLE_STATUSES


def _body(
    label: str, response: httpx.Response, limit: int, seconds: float
) -> bytes:
    """Read until the end or just over ``limit`` bytes."""
    deadline = time.monotonic() + seconds
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > limit:
            break
        if time.monotonic() > deadline:
            msg = f"{label}: the answer took over {seconds:g} s"
            raise HttpTemporaryError(msg)
    return bytes(content)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _said(body: Any) -> str:
    """Return the words of an error body in one of our peers' shapes."""
    if not isinstance(body, dict):
        return ""
    named = ("detail", "message", "error_description", "error", "error_msg")
    return next((str(body[k]) for k in named if body.get(k)), "")


@cache
def _tls() -> ssl.SSLContext:
    """Return the one context of all clients: loading it takes a while."""
    return httpx.create_ssl_context()


def _no_cookies() -> CookieJar:
    """Return a jar that keeps nothing.

    The platform API sets the token as a cookie in every answer; sent back it
    would outlive the token that we renew.
    """
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))
