"""What an S3 service may say, and what it means to us."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from moderate.clients.errors import CredentialsRejected
from moderate.clients.object_storage import (
    LONGEST_PRESIGNED,
    MAX_ATTEMPTS,
    ObjectStorage,
    Timeouts,
)
from moderate.errors import PermanentError, TemporaryError
from moderate_tests.unit.clients.peer import (
    Peer,
    Raw,
    Reply,
    close_silently,
    never,
    reset,
)

SECRET = "canary-Zx9/secret"
DEFAULT = Timeouts()


def storage_at(peer: Peer, timeouts: Timeouts = DEFAULT) -> ObjectStorage:
    return ObjectStorage(
        "AKIAEXAMPLE",
        SecretStr(SECRET),
        "eu-central-1",
        peer.url,
        timeouts=timeouts,
    )


@pytest.fixture
def storage(peer: Peer) -> ObjectStorage:
    return storage_at(peer)


def refused(status: int, code: str, message: str = "") -> Reply:
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Reply(status, text=text, headers={"content-type": "text/xml"})


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "InvalidBucketName"),
        (404, "NoSuchBucket"),
        (404, "NoSuchKey"),
        (405, "MethodNotAllowed"),
    ],
)
def test_what_is_missing_or_invalid_is_permanent(
    peer: Peer, storage: ObjectStorage, status: int, code: str
) -> None:
    peer.replies(refused(status, code))
    with pytest.raises(PermanentError, match=f"get b/k: {status} {code}"):
        storage.get("b", "k", max_bytes=10)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "RequestTimeout"),
        (408, "Whatever"),
        (409, "OperationAborted"),
        (429, "Whatever"),
        (500, "InternalError"),
        (503, "SlowDown"),
    ],
)
def test_what_asks_to_come_again_is_temporary(
    peer: Peer, storage: ObjectStorage, status: int, code: str
) -> None:
    peer.replies(refused(status, code))
    with pytest.raises(TemporaryError, match=f"put b/k: {status} {code}"):
        storage.put("b", "k", b"x", "text/plain")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ExpiredToken"),
        (400, "AuthorizationHeaderMalformed"),
        (401, "Whatever"),
        (403, "AccessDenied"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (403, "RequestTimeTooSkewed"),
    ],
)
def test_a_key_that_is_not_accepted_kills_no_item_and_names_the_settings(
    peer: Peer, storage: ObjectStorage, status: int, code: str
) -> None:
    peer.replies(refused(status, code))
    with pytest.raises(CredentialsRejected, match="S3_SECRET_ACCESS_KEY"):
        storage.put("b", "k", b"x", "text/plain")


@pytest.mark.parametrize(
    ("behaviour", "timeouts"),
    [
        (reset, DEFAULT),
        (close_silently, DEFAULT),
        (never, Timeouts(connect=1, read=1)),
    ],
)
def test_whatever_breaks_on_the_network_is_temporary_and_tried_twice(
    peer: Peer, behaviour: Raw, timeouts: Timeouts
) -> None:
    peer.replies(behaviour)
    with pytest.raises(TemporaryError, match="head b/k"):
        storage_at(peer, timeouts).head("b", "k")
    assert len(peer.seen) == MAX_ATTEMPTS


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, TemporaryError),
        (403, CredentialsRejected),
        (502, TemporaryError),
    ],
)
def test_a_head_without_a_body_is_understood_by_its_status(
    peer: Peer,
    storage: ObjectStorage,
    status: int,
    kind: type[TemporaryError],
) -> None:
    peer.replies(Reply(status, text=""))
    with pytest.raises(kind):
        storage.exists("b", "k")


def test_an_html_page_of_a_proxy_is_temporary(
    peer: Peer, storage: ObjectStorage
) -> None:
    page = Reply(502, text="<html>Bad", headers={"content-type": "text/html"})
    peer.replies(page)
    with pytest.raises(TemporaryError):
        storage.get("b", "k", max_bytes=10)


@pytest.mark.parametrize(("bucket", "key"), [("b/c d", "k"), ("b", "")])
def test_names_that_no_service_takes_are_permanent_and_not_sent(
    peer: Peer, storage: ObjectStorage, bucket: str, key: str
) -> None:
    for act in (
        lambda: storage.exists(bucket, key),
        lambda: storage.presigned_get(bucket, key, timedelta(hours=1)),
    ):
        with pytest.raises(PermanentError):
            act()
    assert not peer.seen


def test_no_message_shows_the_secret(
    peer: Peer, storage: ObjectStorage
) -> None:
    peer.replies(refused(400, "InvalidRequest", f"not {SECRET}"))
    with pytest.raises(PermanentError) as caught:
        storage.get("b", "k", max_bytes=10)
    assert "canary" not in str(caught.value)


def test_a_presigned_url_is_made_without_asking_and_lives_as_long_as_said(
    peer: Peer, storage: ObjectStorage
) -> None:
    url = storage.presigned_get("b", "a/ü k.csv", timedelta(minutes=90))
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    assert parts.path == "/b/a/%C3%BC%20k.csv"
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["5400"]
    assert not peer.seen


def test_buckets_are_addressed_by_path_also_behind_a_host_name() -> None:
    """A bucket's own host name exists at no stand-in, and need not at all."""
    storage = ObjectStorage(
        "AKIAEXAMPLE",
        SecretStr(SECRET),
        "auto",
        "https://storage.googleapis.com",
    )
    url = storage.presigned_get("b", "k", timedelta(hours=1))
    assert url.startswith("https://storage.googleapis.com/b/k?")


@pytest.mark.parametrize(
    "expires",
    [timedelta(), timedelta(seconds=-1), LONGEST_PRESIGNED * 1.01],
)
def test_a_url_is_signed_for_a_second_to_seven_days(
    storage: ObjectStorage, expires: timedelta
) -> None:
    with pytest.raises(ValueError, match="can't be signed"):
        storage.presigned_get("b", "k", expires)


def test_an_upload_carries_no_checksum_that_google_refuses(
    peer: Peer, storage: ObjectStorage
) -> None:
    peer.replies(Reply(200, text=""))
    storage.put("b", "k", b"x", "text/html; charset=utf-8")
    [sent] = peer.seen
    assert sent.path == "/b/k"
    assert sent.headers["content-type"] == "text/html; charset=utf-8"
    assert not [h for h in sent.headers if "checksum" in h or "trailer" in h]
    assert sent.body == b"x"
