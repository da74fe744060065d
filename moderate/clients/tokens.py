"""One access token, shared by the threads that talk to a peer."""

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta

import httpx
from pydantic import SecretStr

from moderate.clients.errors import CredentialsRejected
from moderate.errors import TemporaryError

RENEWAL_MARGIN_SECONDS = 30.0
"""A token is renewed this long before its end, or at half of a shorter life:
the platform's gateway has no leeway."""

LOGIN_PAUSE_SECONDS = 5.0
"""After a failed login nobody tries again for this long: many threads would
otherwise wait in line for the same timeout, and many wrong passwords lock an
account."""

_UNAUTHORIZED = 401


@dataclass(frozen=True)
class Token:
    """An access token and the seconds that it lives from its request on."""

    value: SecretStr
    lifetime: float


@dataclass(frozen=True)
class _Held:
    value: str
    until: float


@dataclass(frozen=True)
class _FailedLogin:
    error: TemporaryError
    until: float


class TokenAuth(httpx.Auth):
    """Puts a bearer token on each request; renews it early, or once on 401.

    Args:
        login: Gets a new token; raises only ``TemporaryError``.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        login: Callable[[], Token],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._login = login
        self._clock = clock
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._failed: _FailedLogin | None = None

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Send ``request`` with a token, and again with a new one on 401.

        Raises:
            TemporaryError: There is no token to be had.
        """
        token = self._token()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == _UNAUTHORIZED:
            token = self._token(refused=token)
            request.headers["Authorization"] = f"Bearer {token}"
            yield request

    def _token(self, refused: str | None = None) -> str:
        with self._lock:
            held = self._held
            if held and held.value != refused and self._clock() < held.until:
                return held.value
            self._held = self._renewed()
            return self._held.value

    def _renewed(self) -> _Held:
        self._raise_if_paused()
        begun = self._clock()
        try:
            token = self._login()
        except TemporaryError as error:
            until = self._clock() + LOGIN_PAUSE_SECONDS
            self._failed = _FailedLogin(error, until)
            raise
        margin = min(RENEWAL_MARGIN_SECONDS, token.lifetime / 2)
        return _Held(
            token.value.get_secret_value(), begun + token.lifetime - margin
        )

    def _raise_if_paused(self) -> None:
        failed = self._failed
        left = failed.until - self._clock() if failed else 0.0
        if failed and left > 0:
            rejected = isinstance(failed.error, CredentialsRejected)
            kind = CredentialsRejected if rejected else TemporaryError
            raise kind(str(failed.error), delay=timedelta(seconds=left))
