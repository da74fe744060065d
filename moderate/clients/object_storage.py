"""Client of an S3 service: Google Cloud Storage, AWS, or a local stand-in.

boto3 is imported with the first call: it takes longer to load than all the
other clients together.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NoReturn

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ParamValidationError,
)
from pydantic import SecretStr

from moderate.clients.errors import CredentialsRejected
from moderate.errors import PermanentError, TemporaryError
from moderate.redaction import Redactor

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig
    from mypy_boto3_s3 import S3Client

LONGEST_PRESIGNED = timedelta(days=7)
"""Signature version 4 signs for no longer."""

PART_BYTES = 16 * 1024 * 1024
"""Of one transfer; S3 takes 10,000 parts, so 156 GiB."""

TRANSFER_THREADS = 4
LARGEST_COPY = 5 * 1024**3
"""S3 copies what is smaller in one request."""

MAX_ATTEMPTS = 2
"""Of each call, by boto3 itself; the inbox does the rest."""

# Said about our key, not about the thing asked for.
_REJECTED = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
_TEMPORARY = frozenset(
    {
        "BadDigest",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
    }
)
_REJECTED_STATUSES = frozenset({401, 403})
_TEMPORARY_STATUSES = frozenset({408, 425, 429})
_NOT_FOUND = 404


@dataclass(frozen=True)
class Timeouts:
    """Bounds in seconds.

    Attributes:
        connect: Until the connection stands.
        read: Between two pieces of the answer, so also until its first.
    """

    connect: float = 5.0
    read: float = 30.0


@dataclass(frozen=True)
class StoredObject:
    """What a listing says of an object.

    Attributes:
        key: Its name.
        size: Its bytes.
        etag: Another one after each change.
    """

    key: str
    size: int
    etag: str


class ObjectStorage:
    """An S3 service with our key; shared by threads.

    Methods raise ``PermanentError`` for what does not exist or is not valid,
    ``CredentialsRejected`` when our key may not do it (one bucket's policy
    can't be told from a wrong key, and the second must not kill items), and
    ``TemporaryError`` for the rest.

    Args:
        access_key_id: The key's public part.
        secret_access_key: Its secret part.
        region: As the service names it.
        endpoint_url: The service's URL; buckets are addressed by path.
        timeouts: Bounds of each attempt.
    """

    def __init__(
        self,
        access_key_id: str,
        secret_access_key: SecretStr,
        region: str,
        endpoint_url: str,
        *,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._region = region
        self._endpoint_url = endpoint_url
        self._timeouts = timeouts or Timeouts()
        self._redactor = Redactor([secret_access_key])
        self._making = Lock()

    def prepare(self) -> None:
        """Load all that a call needs, without a connection.

        For a process that others are copied from.
        """
        self.presigned_get("nowhere", "nothing", timedelta(minutes=1))

    def presigned_get(self, bucket: str, key: str, expires: timedelta) -> str:
        """Return a URL that downloads an object without credentials.

        Made here: nothing is asked of the service, and the object need not
        exist. The URL is a secret while it lives.

        Raises:
            ValueError: ``expires`` is under a second or over
                ``LONGEST_PRESIGNED``.
        """
        if not timedelta(seconds=1) <= expires <= LONGEST_PRESIGNED:
            msg = f"a URL can't be signed for {expires}"
            raise ValueError(msg)
        with self._translated("sign", bucket, key):
            return self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": bucket, "Key": key},
                ExpiresIn=int(expires.total_seconds()),
            )

    def prefixes(self, bucket: str) -> list[str]:
        """Return what keys begin with up to their first slash, with it."""
        with self._translated("list", bucket, ""):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Delimiter="/"
            )
            return [
                each["Prefix"]
                for page in pages
                for each in page.get("CommonPrefixes", [])
            ]

    def objects(
        self, bucket: str, prefix: str, most: int
    ) -> list[StoredObject]:
        """Return the objects whose keys begin with ``prefix``.

        Raises:
            PermanentError: Also when there are more than ``most``.
        """
        found: list[StoredObject] = []
        with self._translated("list", bucket, prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix
            ):
                found += [
                    StoredObject(each["Key"], each["Size"], each["ETag"])
                    for each in page.get("Contents", [])
                ]
                if len(found) > most:
                    msg = f"{bucket}/{prefix} has over {most} objects"
                    raise PermanentError(msg)
        return found

    def head(self, bucket: str, key: str) -> int | None:
        """Return an object's size in bytes; ``None``: there is none.

        The answer has no body: a missing bucket looks the same.
        """
        with self._translated("head", bucket, key):
            try:
                found = self._client.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if _status(error) == _NOT_FOUND:
                    return None
                raise
        return found["ContentLength"]

    def exists(self, bucket: str, key: str) -> bool:
        """Say whether there is such an object."""
        return self.head(bucket, key) is not None

    def get(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes.

        Raises:
            PermanentError: Also when it is longer than ``max_bytes``.
        """
        with self._translated("get", bucket, key):
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
            with body:
                content = body.read(max_bytes + 1)
        if len(content) > max_bytes:
            msg = f"S3: get {bucket}/{key}: over {max_bytes} bytes"
            raise PermanentError(msg)
        return content

    def put(
        self, bucket: str, key: str, content: bytes | Path, content_type: str
    ) -> None:
        """Store an object; one of the same key is replaced.

        Args:
            bucket: Must exist.
            key: The object's name.
            content: The bytes, or the file that holds them, which is streamed
                in one request (so 5 GiB at the most).
            content_type: What browsers are told.
        """
        with self._translated("put", bucket, key):
            if isinstance(content, Path):
                with content.open("rb") as body:
                    self._client.put_object(
                        Bucket=bucket,
                        Key=key,
                        Body=body,
                        ContentType=content_type,
                    )
                return
            self._client.put_object(
                Bucket=bucket, Key=key, Body=content, ContentType=content_type
            )

    def download(self, bucket: str, key: str, path: Path) -> None:
        """Write an object of any size to a file, in pieces."""
        with self._translated("download", bucket, key), path.open("wb") as f:
            self._client.download_fileobj(
                bucket, key, f, Config=self._transfer()
            )

    def upload(
        self, bucket: str, key: str, path: Path, content_type: str
    ) -> None:
        """Store a file of any size, in parts; it appears when it is whole."""
        with self._translated("upload", bucket, key), path.open("rb") as f:
            self._client.upload_fileobj(
                f,
                bucket,
                key,
                ExtraArgs={"ContentType": content_type},
                Config=self._transfer(),
            )

    def copy(self, bucket: str, source: str, target: str) -> None:
        """Copy an object inside of the service; the target is replaced."""
        with self._translated("copy", bucket, source):
            self._client.copy(
                {"Bucket": bucket, "Key": source},
                bucket,
                target,
                Config=self._transfer(LARGEST_COPY),
            )

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; that there is none is no error."""
        with self._translated("delete", bucket, key):
            self._client.delete_object(Bucket=bucket, Key=key)

    def keys(self, bucket: str, prefix: str) -> set[str]:
        """Return keys that begin so, of unfinished uploads too.

        Of each kind the first 1,000 at the most.
        """
        with self._translated("list", bucket, prefix):
            found = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix)
        uploads = self._uploads(bucket, prefix)
        keys = [each["Key"] for each in found.get("Contents", ())]
        return {*keys, *(key for key, _ in uploads)}

    def discard(self, bucket: str, key: str) -> None:
        """Delete an object, and what unfinished uploads have left of it."""
        for name, number in self._uploads(bucket, key):
            if name == key:
                with self._translated("abort", bucket, key):
                    self._client.abort_multipart_upload(
                        Bucket=bucket, Key=key, UploadId=number
                    )
        self.delete(bucket, key)

    def _uploads(self, bucket: str, prefix: str) -> list[tuple[str, str]]:
        with self._translated("list uploads", bucket, prefix):
            found = self._client.list_multipart_uploads(
                Bucket=bucket, Prefix=prefix
            )
        uploads = found.get("Uploads", ())
        return [(each["Key"], each["UploadId"]) for each in uploads]

    @staticmethod
    def _transfer(threshold: int = PART_BYTES) -> "TransferConfig":
        from boto3.s3.transfer import TransferConfig  # noqa: PLC0415

        return TransferConfig(
            multipart_threshold=threshold,
            multipart_chunksize=PART_BYTES,
            max_concurrency=TRANSFER_THREADS,
        )

    @property
    def _client(self) -> "S3Client":
        with self._making:  # Making a client is not safe in threads.
            return self._made

    @cached_property
    def _made(self) -> "S3Client":
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=self._timeouts.connect,
            read_timeout=self._timeouts.read,
            retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
            # Google's S3 interface refuses the checksums that botocore adds
            # by default since 1.36.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        # Not the default session, which everybody in the process shares.
        session = boto3.Session(
            aws_access_key_id=self._access_key_id,
            aws_secret_access_key=self._secret_access_key.get_secret_value(),
            region_name=self._region,
        )
        return session.client(
            "s3", endpoint_url=self._endpoint_url, config=config
        )

    @contextmanager
    def _translated(self, verb: str, bucket: str, key: str) -> Iterator[None]:
        """Turn whatever boto3 raises into one of our kinds."""
        what = f"S3: {verb} {bucket}/{key}"
        try:
            yield
        except ClientError as error:
            self._raise_for(what, error)
        except ParamValidationError as error:
            msg = self._redactor.redact(f"{what}: {error}")
            raise PermanentError(msg) from error
        except BotoCoreError as error:
            msg = self._redactor.redact(f"{what}: {error}")
            raise TemporaryError(msg) from error
        except RecursionError as error:
            # botocore asks whoever redirects it for the bucket's region, and
            # is redirected again.
            msg = f"{what}: redirected; is S3_ENDPOINT_URL right?"
            raise TemporaryError(msg) from error

    def _raise_for(self, what: str, error: ClientError) -> NoReturn:
        said = error.response.get("Error", {})
        code, status = said.get("Code", ""), _status(error)
        text = f"{what}: {status} {code} {said.get('Message', '')}"
        msg = self._redactor.redact(text).rstrip()
        if code in _REJECTED or status in _REJECTED_STATUSES:
            msg = f"{msg}; check S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY"
            raise CredentialsRejected(msg) from error
        if code in _TEMPORARY or _is_temporary(status):
            raise TemporaryError(msg) from error
        raise PermanentError(msg) from error


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _is_temporary(status: int) -> bool:
    """Say whether to come again; 3xx is a wrong endpoint or region."""
    return not 400 <= status < 500 or status in _TEMPORARY_STATUSES
