"""Objects in the S3 server, uploaded as the API does it."""

import asyncio
import hashlib
import logging
import re
import unicodedata
import uuid
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from moderate.local.platform_api.config import EmulatorSettings
from moderate.local.platform_api.errors import server_error

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

log = logging.getLogger(__name__)

PART_BYTES = 16 * 1024**2
CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Uploaded:
    """What is known of an object once it lies in S3."""

    etag: str
    location: str
    sha256_hash: str


def object_key(username: str, filename: str) -> str:
    """The key of a new object: never the same twice."""
    path = PurePosixPath(filename)
    text = unicodedata.normalize("NFKD", path.stem)
    plain = text.encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return f"{username}-assets/{slug}-{uuid.uuid4()}{path.suffix}"


class ObjectStorage:
    """The bucket that the API keeps its objects in.

    Every call blocks and so runs in a thread. What goes wrong in S3 is a 500
    to the API's client.

    Args:
        settings: Where the S3 server is.
    """

    def __init__(self, settings: EmulatorSettings) -> None:
        self.bucket = settings.s3_bucket_name
        self._client = boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key_id,
            aws_secret_access_key=(
                settings.s3_secret_access_key.get_secret_value()
            ),
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                read_timeout=READ_TIMEOUT_SECONDS,
                retries={"total_max_attempts": 1},
                proxies={},
            ),
        )

    def close(self) -> None:
        """Close the connections to the S3 server."""
        self._client.close()

    async def ensure_bucket(self) -> None:
        """Look for the bucket and make it, as every S3 endpoint does first.

        Raises:
            ApiError: S3 refuses or can't be reached.
        """
        try:
            await asyncio.to_thread(self._ensure_bucket)
        except (ClientError, BotoCoreError) as error:
            raise _failed(error) from error

    async def upload(self, key: str, content: IO[bytes]) -> Uploaded:
        """Upload in parts; an empty file has none and so fails.

        Raises:
            ApiError: S3 refuses or can't be reached.
        """
        try:
            return await asyncio.to_thread(self._upload, key, content)
        except (ClientError, BotoCoreError) as error:
            raise _failed(error) from error

    def download_url(self, bucket: str, key: str, seconds: int) -> str:
        """A URL that gives whoever has it the object, for some time."""
        return self._client.generate_presigned_url(
            "get_object",
            Params={"Bucket": bucket, "Key": key},
            ExpiresIn=seconds,
        )

    def _ensure_bucket(self) -> None:
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except ClientError:
            self._client.create_bucket(Bucket=self.bucket)

    def _upload(self, key: str, content: IO[bytes]) -> Uploaded:
        made = self._client.create_multipart_upload(
            Bucket=self.bucket, Key=key
        )
        upload_id = made["UploadId"]
        try:
            return self._upload_parts(key, upload_id, content)
        except (ClientError, BotoCoreError):
            self._client.abort_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload_id
            )
            raise

    def _upload_parts(
        self, key: str, upload_id: str, content: IO[bytes]
    ) -> Uploaded:
        digest = hashlib.sha256()
        parts: list[CompletedPartTypeDef] = []
        while chunk := content.read(PART_BYTES):
            digest.update(chunk)
            number = len(parts) + 1
            part = self._client.upload_part(
                Bucket=self.bucket,
                Key=key,
                PartNumber=number,
                UploadId=upload_id,
                Body=chunk,
            )
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
        done = self._client.complete_multipart_upload(
            Bucket=self.bucket,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
        )
        place = f"http://{self.bucket}.s3.amazonaws.com/{key}"
        return Uploaded(
            etag=done["ETag"],
            # Not every S3 server says where the object lies.
            location=done.get("Location") or place,
            sha256_hash=digest.hexdigest(),
        )


def _failed(error: Exception) -> Exception:
    log.warning("S3 failed: %s", error)
    return server_error()
