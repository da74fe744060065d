"""Stores the report in the object store."""

import base64
import hashlib
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as ConnectionFailure

from moderate.workloads.matrix_profile.config import Config
from moderate.workloads.matrix_profile.download import TEMPORARY_STATUSES
from moderate.workloads.matrix_profile.errors import ConfigError, TransferError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS = 10
READ_SECONDS = 60
ATTEMPTS = 3
CONTENT_TYPE = "text/html; charset=utf-8"


def upload(report: bytes, config: Config) -> None:
    """Puts the report in its place; done twice, it is the same object.

    The store compares what it got with the MD5 sum that is sent along, so
    its consent means that the whole report is there.

    Args:
        report: The report.
        config: Where to put it.

    Raises:
        TransferError: The store could not be reached or is in trouble.
        ConfigError: The store refuses, and will refuse again.
    """
    checksum = hashlib.md5(report, usedforsecurity=False).digest()
    try:
        _client(config).put_object(
            Bucket=config.bucket,
            Key=config.key,
            Body=report,
            ContentType=CONTENT_TYPE,
            ContentMD5=base64.b64encode(checksum).decode("ascii"),
        )
    except ClientError as error:
        raise _refused(error) from error
    except (ConnectionFailure, HTTPClientError, OSError) as error:
        raise TransferError(
            "the report could not be stored: the connection failed"
        ) from error
    except BotoCoreError as error:
        raise ConfigError(
            "the report could not be stored: the store's address or name "
            "is wrong"
        ) from error


def _client(config: Config) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=config.endpoint_url,
        region_name=config.region,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.secret_access_key,
        config=ClientConfig(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            # Other stores than AWS know no trailing checksums.
            request_checksum_calculation="when_required",
            s3={"addressing_style": "path"},
        ),
    )


def _refused(error: ClientError) -> TransferError | ConfigError:
    answer = error.response
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = answer.get("Error", {}).get("Code", "unknown")
    text = f"the report could not be stored: the store answered {code}"
    if status in TEMPORARY_STATUSES or code in ("SlowDown", "RequestTimeout"):
        return TransferError(text)
    return ConfigError(text)
