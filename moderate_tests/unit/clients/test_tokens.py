"""One token for all threads: renewed in time, asked for once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr

from moderate.clients.errors import CredentialsRejected
from moderate.clients.http import HttpTemporaryError, Timeouts
from moderate.clients.platform_api import PlatformApi
from moderate.clients.tokens import LOGIN_PAUSE_SECONDS, Token, TokenAuth
from moderate.errors import TemporaryError
from moderate_tests.unit.clients.gateway import (
    CALLS,
    DATABASE_ERROR,
    JOB,
    PASSWORD,
    TOKEN_ROUTE,
    Call,
    Gateway,
)
from moderate_tests.unit.clients.peer import Reply, never

every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def test_the_login_is_a_form_without_a_charset(
    gateway: Gateway, api: PlatformApi
) -> None:
    """The gateway compares the content type exactly."""
    gateway.replies(Reply(200, JOB))
    api.get_job(1)
    [login] = gateway.peer.asked(*TOKEN_ROUTE)
    assert login.headers["content-type"] == "application/x-www-form-urlencoded"
    assert login.body == (
        b"username=workflows&password=canary-Zx9%2Fpass%26word"
    )
    assert "authorization" not in login.headers


class Clock:
    """A clock and a login that a test sets."""

    def __init__(self, lifetime: float = 300) -> None:
        self.now = 1000.0
        self.lifetime = lifetime
        self.logins = 0
        self.error: TemporaryError | None = None
        self._auth = TokenAuth(self._login, clock=lambda: self.now)

    def _login(self) -> Token:
        self.logins += 1
        if self.error:
            raise self.error
        return Token(SecretStr(f"t{self.logins}"), self.lifetime)

    def ask(self) -> str:
        """Begin a request; return the token that it carries."""
        request = httpx.Request("GET", "http://h/")
        next(self._auth.sync_auth_flow(request))
        return request.headers["authorization"]


@pytest.mark.parametrize(
    ("lifetime", "steps"),
    [
        (300, [(0, 1), (269, 1), (271, 2), (540, 2), (542, 3)]),
        (4, [(0, 1), (1.9, 1), (2.1, 2)]),
        (0, [(0, 1), (0, 2)]),
    ],
)
def test_a_token_is_used_until_30_s_before_its_end_or_half_its_life(
    lifetime: float, steps: list[tuple[float, int]]
) -> None:
    clock = Clock(lifetime)
    for passed, logins in steps:
        clock.now = 1000.0 + passed
        assert clock.ask() == f"Bearer t{logins}"


@pytest.mark.parametrize("kind", [TemporaryError, CredentialsRejected])
def test_a_failed_login_is_not_tried_again_before_the_pause_is_over(
    kind: type[TemporaryError],
) -> None:
    clock = Clock()
    clock.error = kind("no")
    for passed in (0, 2):
        clock.now = 1000.0 + passed
        with pytest.raises(kind, match="no") as caught:
            clock.ask()
    assert clock.logins == 1
    assert caught.value.delay == timedelta(seconds=LOGIN_PAUSE_SECONDS - 2)
    clock.error = None
    clock.now = 1000.0 + LOGIN_PAUSE_SECONDS
    assert clock.ask() == "Bearer t2"


@every_call
def test_a_401_renews_the_token_once_and_asks_again(
    gateway: Gateway, api: PlatformApi, call: Call
) -> None:
    gateway.replies(Reply(200, JOB))
    api.get_job(1)
    gateway.expire()
    gateway.replies(DATABASE_ERROR)
    with pytest.raises(HttpTemporaryError):
        call(api)
    assert gateway.logins == 2
    first, again = gateway.asked[1:]
    assert first.body == again.body
    assert first.headers["authorization"] != again.headers["authorization"]


@every_call
def test_a_401_with_a_new_token_kills_no_item_and_names_the_settings(
    gateway: Gateway, api: PlatformApi, call: Call
) -> None:
    gateway.replies(Reply(401, {"detail": "Signature verification failed"}))
    with pytest.raises(CredentialsRejected, match="API_PASSWORD"):
        call(api)
    assert gateway.logins == 2
    assert len(gateway.asked) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refused_login_kills_no_item_and_names_the_settings(
    gateway: Gateway, api: PlatformApi, status: int
) -> None:
    gateway.login = Reply(status, {"message": f"bad {PASSWORD}"})
    with pytest.raises(CredentialsRejected, match="API_PASSWORD") as caught:
        api.get_job(1)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "login",
    [
        Reply(502, text="<html>"),
        Reply(200, text="<html>"),
        Reply(200, {"access_token": "t"}),
    ],
)
def test_a_login_that_does_not_work_now_is_temporary(
    gateway: Gateway, api: PlatformApi, login: Reply
) -> None:
    gateway.login = login
    with pytest.raises(TemporaryError) as caught:
        api.get_job(1)
    assert not isinstance(caught.value, CredentialsRejected)


def test_a_login_without_an_answer_is_temporary(gateway: Gateway) -> None:
    gateway.login = never
    with (
        PlatformApi(
            gateway.peer.url,
            "workflows",
            SecretStr(PASSWORD),
            timeouts=Timeouts(connect=1, read=1),
        ) as api,
        pytest.raises(TemporaryError) as caught,
    ):
        api.get_job(1)
    assert not isinstance(caught.value, CredentialsRejected)


def test_threads_share_one_login(gateway: Gateway, api: PlatformApi) -> None:
    gateway.replies(Reply(200, JOB))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(api.get_job, range(1, 25)))
    assert gateway.logins == 1
    gateway.expire()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(api.get_job, range(1, 25)))
    assert gateway.logins == 2


def test_threads_share_a_failed_login(
    gateway: Gateway, api: PlatformApi
) -> None:
    """In line for a hanging gateway they would wait one after the other, and
    many wrong passwords lock the account."""
    gateway.login = Reply(401, {"message": "no"})

    def attempt(job_id: int) -> type[Exception]:
        with pytest.raises(CredentialsRejected) as caught:
            api.get_job(job_id)
        return caught.type

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(1, 25)))
    assert gateway.logins == 1


def test_the_client_does_not_show_its_password(api: PlatformApi) -> None:
    assert "canary" not in repr(vars(api))
