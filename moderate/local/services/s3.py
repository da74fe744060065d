"""An S3 server on a folder: versitygw, or moto's where Go is missing."""

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from moderate.local import probes
from moderate.local.go_program import GoProgram
from moderate.local.ports import LOOPBACK
from moderate.local.process import Process
from moderate.local.services.base import HttpService

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VERSITYGW = GoProgram(
    "versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
)
REGION = "us-east-1"
ASSETS_BUCKET = "moderate"
OUTPUTS_BUCKET = "moderate-output-bucket"
HEALTH_PATH = "/health"
ALREADY_THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


class S3Program(StrEnum):
    """Which program serves S3."""

    VERSITYGW = "versitygw"
    MOTO = "moto"


def choose_program() -> S3Program:
    """Versitygw where it is built or can be, otherwise moto."""
    if VERSITYGW.path.exists() or shutil.which("go"):
        return S3Program.VERSITYGW
    return S3Program.MOTO


class S3(HttpService):
    """An S3 server with one access key and the platform's two buckets.

    Args:
        folder: Objects, their metadata and the log lie in here.
        port: Where it listens.
        access_key: Its only user's key id.
        secret_key: That key's secret.
        program: What serves; chosen by what the machine has unless given.
            Moto keeps objects in memory: they end with it.
        log: Its log file.
    """

    name = "s3"

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        access_key: str,
        secret_key: str,
        program: S3Program | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, port=port, log=log)
        self.program = program or choose_program()
        self._access_key = access_key
        self._secret_key = secret_key
        self._objects = self.folder / "objects"
        self._metadata = self.folder / "metadata"

    def client_environment(self) -> dict[str, str]:
        """Endpoint, region, key and buckets."""
        return {
            "S3_ENDPOINT_URL": self.url,
            "S3_REGION": REGION,
            "S3_ACCESS_KEY_ID": self._access_key,
            "S3_SECRET_ACCESS_KEY": self._secret_key,
            "S3_BUCKET_NAME": ASSETS_BUCKET,
            "S3_JOB_OUTPUTS_BUCKET_NAME": OUTPUTS_BUCKET,
        }

    def client(self) -> "S3Client":
        """A boto3 client of the server."""
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self._access_key,
            aws_secret_access_key=self._secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )
        return client

    def prepare(self) -> None:
        """Build versitygw, once a machine, and make the folders."""
        if self.program is S3Program.MOTO:
            return
        VERSITYGW.build(self.say, self.cancelled)
        self._objects.mkdir(exist_ok=True)
        if not _takes_attributes(self._objects):
            self._metadata.mkdir(exist_ok=True)

    def make_process(self) -> Process:
        """The S3 server."""
        moto = self.program is S3Program.MOTO
        return Process(
            self.name,
            self._moto() if moto else self._versitygw(),
            environment=self.server_environment(
                ROOT_ACCESS_KEY=self._access_key,
                ROOT_SECRET_KEY=self._secret_key,
            ),
            folder=self.folder,
            log=self.log,
            ready=self.answers,
            cancelled=self.cancelled,
        )

    def answers(self) -> bool:
        """Whether the server serves."""
        moto = self.program is S3Program.MOTO
        return probes.answers_ok(self.url if moto else self.url + HEALTH_PATH)

    def settle(self) -> None:
        """Make the platform's buckets."""
        client = self.client()
        for bucket in (ASSETS_BUCKET, OUTPUTS_BUCKET):
            try:
                client.create_bucket(Bucket=bucket)
            except ClientError as error:
                if error.response["Error"]["Code"] not in ALREADY_THERE:
                    raise

    def _versitygw(self) -> Sequence[str]:
        sidecar = self._metadata.exists()
        return [
            str(VERSITYGW.path),
            *("--port", f"{LOOPBACK}:{self.port}", "--region", REGION),
            *("--health", HEALTH_PATH, "--keep-alive", "--quiet"),
            "posix",
            *(("--sidecar", str(self._metadata)) if sidecar else ()),
            str(self._objects),
        ]

    def _moto(self) -> Sequence[str]:
        return [
            *(sys.executable, "-m", "moto.server"),
            *("--host", LOOPBACK, "--port", str(self.port)),
        ]


def _takes_attributes(folder: Path) -> bool:
    """Whether files in ``folder`` can carry extended attributes.

    Without them (on tmpfs, for instance) the server keeps the objects'
    metadata in a folder beside them.
    """
    with tempfile.NamedTemporaryFile(dir=folder.parent) as file:
        try:
            os.setxattr(file.name, "user.moderate", b"1")
        except OSError:
            return False
    return True
