"""Objects are stored, found, handed out by URL and deleted."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from moderate.clients.errors import CredentialsRejected
from moderate.clients.object_storage import ObjectStorage
from moderate.errors import PermanentError
from moderate.local.services.base import Service

pytestmark = pytest.mark.services


def client(s3: Service, **changes: str) -> ObjectStorage:
    given = {**s3.client_environment(), **changes}
    return ObjectStorage(
        given["S3_ACCESS_KEY_ID"],
        SecretStr(given["S3_SECRET_ACCESS_KEY"]),
        given["S3_REGION"],
        given["S3_ENDPOINT_URL"],
    )


@pytest.fixture
def storage(s3: Service) -> ObjectStorage:
    return client(s3)


@pytest.fixture
def bucket(s3: Service) -> str:
    return s3.client_environment()["S3_BUCKET_NAME"]


@pytest.fixture
def key() -> str:
    return f"tests/ü {uuid4()}.txt"


def test_an_object_is_stored_found_and_deleted(
    storage: ObjectStorage, bucket: str, key: str
) -> None:
    assert not storage.exists(bucket, key)
    storage.put(bucket, key, b"one", "text/plain")
    storage.put(bucket, key, b"twelve", "text/plain")
    assert storage.head(bucket, key) == 6
    assert storage.get(bucket, key, max_bytes=6) == b"twelve"
    storage.delete(bucket, key)
    storage.delete(bucket, key)
    assert storage.head(bucket, key) is None


def test_a_file_is_stored_as_it_is(
    storage: ObjectStorage, bucket: str, key: str, tmp_path: Path
) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x" * 3_000_000)
    storage.put(bucket, key, file, "application/octet-stream")
    assert storage.head(bucket, key) == 3_000_000


def test_a_presigned_url_gives_the_object_to_whoever_holds_it(
    storage: ObjectStorage, bucket: str, key: str
) -> None:
    storage.put(bucket, key, b"shared", "text/plain; charset=utf-8")
    url = storage.presigned_get(bucket, key, timedelta(minutes=1))
    answer = httpx.get(url)
    assert answer.text == "shared"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_more_than_asked_for_is_refused(
    storage: ObjectStorage, bucket: str, key: str
) -> None:
    storage.put(bucket, key, b"x" * 11, "text/plain")
    with pytest.raises(PermanentError, match="over 10 bytes"):
        storage.get(bucket, key, max_bytes=10)


def test_a_missing_bucket_or_object_is_permanent(
    storage: ObjectStorage, bucket: str, key: str
) -> None:
    with pytest.raises(PermanentError, match="NoSuchKey"):
        storage.get(bucket, key, max_bytes=10)
    with pytest.raises(PermanentError, match="NoSuchBucket"):
        storage.put(f"no-{uuid4()}", key, b"x", "text/plain")


def test_a_wrong_secret_kills_nothing(
    s3: Service, bucket: str, key: str
) -> None:
    wrong = client(s3, S3_SECRET_ACCESS_KEY="wrong-secret")
    with pytest.raises(CredentialsRejected):
        wrong.put(bucket, key, b"x", "text/plain")
    with pytest.raises(CredentialsRejected):
        wrong.head(bucket, key)
