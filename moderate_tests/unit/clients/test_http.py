"""Every failure is told once, as a kind; against a real HTTP server."""

import email.utils
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.clients.errors import UnreadableAnswer
from moderate.clients.http import (
    LONGEST_DETAIL,
    LONGEST_RETRY_AFTER,
    HttpClient,
    HttpPermanentError,
    HttpTemporaryError,
    Timeouts,
    retry_after,
)
from moderate.redaction import Redactor
from moderate_tests.unit.clients.peer import (
    Peer,
    Raw,
    Reply,
    close_silently,
    dripping,
    never,
    nonsense,
    reset,
    truncated,
)

SECRET = "canary-Zx9/secret"
# Only for peers that stay silent: on a busy machine others may need longer.
QUICK = Timeouts(connect=1, read=1, write=1, pool=1, total=1)


@pytest.fixture
def http(peer: Peer) -> Iterator[HttpClient]:
    client = HttpClient(
        peer.url,
        redactor=Redactor([SECRET]),
        longest_body=100_000,
    )
    with client:
        yield client


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_an_answer_that_asks_to_come_again_is_temporary(
    peer: Peer, http: HttpClient, status: int
) -> None:
    peer.replies(Reply(status, {"detail": "busy"}))
    with pytest.raises(HttpTemporaryError) as caught:
        http.request("GET", "/x")
    assert caught.value.status == status
    assert caught.value.detail == "busy"
    assert caught.value.delay is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 451])
def test_any_other_refusal_is_permanent(
    peer: Peer, http: HttpClient, status: int
) -> None:
    peer.replies(Reply(status, {"detail": "no"}))
    with pytest.raises(HttpPermanentError) as caught:
        http.request("POST", "/x")
    assert caught.value.status == status
    assert str(caught.value) == f"POST /x: {status} no"


@pytest.mark.parametrize(
    ("behaviour", "timeouts"),
    [
        (reset, None),
        (close_silently, None),
        (truncated, None),
        (nonsense, None),
        (never, QUICK),
        (dripping, QUICK),
    ],
)
def test_whatever_breaks_on_the_network_is_temporary(
    peer: Peer, http: HttpClient, behaviour: Raw, timeouts: Timeouts | None
) -> None:
    peer.replies(behaviour)
    with pytest.raises(HttpTemporaryError) as caught:
        http.request("GET", "/x", timeouts=timeouts)
    assert caught.value.status is None
    assert str(caught.value).startswith("GET /x: ")
    assert len(peer.seen) == 1, "clients do not retry"


def test_nobody_listening_is_temporary() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # Bound, but not listening.
        port = bound.getsockname()[1]
        http = HttpClient(f"http://127.0.0.1:{port}")
        with http, pytest.raises(HttpTemporaryError, match="ConnectError"):
            http.request("GET", "/x")


@pytest.mark.parametrize(
    "url", ["ftp://h", "no-scheme", "http://no.such.invalid"]
)
def test_a_base_url_that_leads_nowhere_is_temporary(url: str) -> None:
    """Nobody's work item is at fault."""
    with pytest.raises(HttpTemporaryError), HttpClient(url) as http:
        http.request("GET", "/x")


def test_a_redirect_is_not_followed_and_says_what_to_check(
    peer: Peer, http: HttpClient
) -> None:
    peer.replies(Reply(301, headers={"location": f"{peer.url}/y"}))
    with pytest.raises(HttpTemporaryError, match="is the base URL right"):
        http.request("GET", "/x")
    assert len(peer.seen) == 1


def test_retry_after_becomes_the_delay(peer: Peer, http: HttpClient) -> None:
    peer.replies(Reply(429, {}, headers={"retry-after": "7"}))
    with pytest.raises(HttpTemporaryError) as caught:
        http.request("GET", "/x")
    assert caught.value.delay == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "0"}, timedelta()),
        ({"retry-after": " 120 "}, timedelta(minutes=2)),
        ({"retry-after": "9" * 400}, LONGEST_RETRY_AFTER),
        (
            {
                "retry-after": "Sat, 21 Nov 2026 10:00:30 GMT",
                "date": "Sat, 21 Nov 2026 10:00:00 GMT",
            },
            timedelta(seconds=30),
        ),
        (
            {
                "retry-after": "Sat, 21 Nov 2026 09:00:00 GMT",
                "date": "Sat, 21 Nov 2026 10:00:00 GMT",
            },
            timedelta(),
        ),
        ({"retry-after": "Sat, 21 Nov 2099 10:00:00"}, LONGEST_RETRY_AFTER),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(
    headers: dict[str, str], delay: timedelta | None
) -> None:
    assert retry_after(headers) == delay


def test_without_the_answers_date_our_own_clock_counts() -> None:
    due = datetime.now(UTC) + timedelta(seconds=60)
    delay = retry_after({"retry-after": email.utils.format_datetime(due)})
    assert delay is not None
    assert timedelta(seconds=50) < delay <= timedelta(seconds=60)


@given(st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text()))
def test_no_header_breaks_reading_retry_after(headers: dict[str, str]) -> None:
    delay = retry_after(headers)
    assert delay is None or timedelta() <= delay <= LONGEST_RETRY_AFTER


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(400, {"detail": "Bad."}), "Bad."),
        (Reply(409, {"message": "Database operation error"}), "Database oper"),
        (Reply(404, text="Not Found"), "Not Found"),
        (
            Reply(403, {"error": "x", "error_description": "not_authorized"}),
            "not_authorized",
        ),
        (
            Reply(422, {"detail": [{"msg": "field required"}]}),
            "field required",
        ),
        (Reply(400, text="<html>\n  <b>no</b>\n</html>"), "<html> <b>no</b>"),
        (Reply(400, text=""), ""),
        (Reply(400, text="[" * 100_000), "[[["),
    ],
)
def test_the_detail_is_what_the_peer_said_in_any_of_its_shapes(
    peer: Peer, http: HttpClient, reply: Reply, said: str
) -> None:
    peer.replies(reply)
    with pytest.raises(HttpPermanentError) as caught:
        http.request("GET", "/x")
    assert said in caught.value.detail
    assert len(caught.value.detail) <= LONGEST_DETAIL


def test_an_error_shows_no_secret_of_the_body_however_it_is_cut(
    peer: Peer, http: HttpClient
) -> None:
    for padding in range(LONGEST_DETAIL - 20, LONGEST_DETAIL + 1):
        peer.replies(Reply(400, text="x" * padding + SECRET))
        with pytest.raises(HttpPermanentError) as caught:
            http.request("GET", "/x")
        assert "can" not in str(caught.value)
        assert "can" not in caught.value.detail


def test_the_query_is_not_part_of_a_message(
    peer: Peer, http: HttpClient
) -> None:
    peer.replies(Reply(400, {}))
    with pytest.raises(HttpPermanentError) as caught:
        http.request("GET", "/x", params={"q": "personal"})
    assert "personal" not in str(caught.value)


def test_an_answer_longer_than_we_take_is_not_read_to_its_end(
    peer: Peer, http: HttpClient
) -> None:
    peer.replies(Reply(200, text="x" * 100_001))
    with pytest.raises(UnreadableAnswer, match="over 100000 bytes"):
        http.request("GET", "/x")


def test_an_answer_that_is_not_json_is_temporary(
    peer: Peer, http: HttpClient
) -> None:
    """Such as a proxy's maintenance page with status 200."""
    for text in ("<html>", "", "[" * 99_999):
        peer.replies(Reply(200, text=text))
        answer = http.request("GET", "/x")
        with pytest.raises(UnreadableAnswer, match="GET /x"):
            answer.json()


def test_cookies_are_not_kept(peer: Peer, http: HttpClient) -> None:
    """The API sets the token as a cookie; it would outlive its renewal."""
    peer.replies(Reply(200, {}, headers={"set-cookie": "access_token=t"}))
    http.request("GET", "/x")
    http.request("GET", "/x")
    assert "cookie" not in peer.seen[-1].headers


def test_a_call_may_have_its_own_timeouts(peer: Peer) -> None:
    peer.replies(never)
    begun = time.monotonic()
    with HttpClient(peer.url) as http, pytest.raises(HttpTemporaryError):
        http.request("GET", "/x", timeouts=QUICK)
    assert time.monotonic() - begun < Timeouts().read
