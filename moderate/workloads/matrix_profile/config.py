"""The environment variables that this workload reads.

============================== ===============================================
variable                       meaning
============================== ===============================================
``FILE_URL``                   http(s) address of the table, usually presigned
``ANALYSIS_VARIABLE``          name of the column to analyse
``OUTPUT_BUCKET``              bucket for the report
``OUTPUT_KEY``                 key of the report in that bucket
``S3_ENDPOINT_URL``            http(s) address of the object store
``S3_REGION``                  its region
``S3_ACCESS_KEY_ID``           its credentials
``S3_SECRET_ACCESS_KEY``       its credentials
``MATRIX_PROFILE_WINDOW``      optional: ``24h``, ``7d``, ... or a number of
                               values; by default a day
``MATRIX_PROFILE_MAX_BYTES``   optional: largest file, default 512 MiB
``MATRIX_PROFILE_MAX_POINTS``  optional: longest series, default 600000, which
                               is a year of minutes and takes minutes
``MATRIX_PROFILE_THREADS``     optional: by default one for each usable CPU
============================== ===============================================
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from moderate.workloads.matrix_profile.errors import ConfigError
from moderate.workloads.matrix_profile.window import (
    WindowSetting,
    parse_window,
)

DEFAULT_MAX_BYTES = 512 * 1024 * 1024
DEFAULT_MAX_POINTS = 600_000


@dataclass(frozen=True, kw_only=True)
class Config:
    """What one run is asked to do; secrets stay out of ``repr``."""

    file_url: str = field(repr=False)
    variable: str
    bucket: str
    key: str
    endpoint_url: str
    region: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    window: WindowSetting | None
    max_bytes: int
    max_points: int
    threads: int


class _Reader:
    """Collects every fault of the environment before it complains."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []

    def text(self, name: str) -> str:
        value = self._environ.get(name, "")
        if not value.strip():
            self.faults.append(f"{name} is missing")
        return value

    def address(self, name: str) -> str:
        value = self.text(name).strip()
        if value and not _is_http(value):
            self.faults.append(f"{name} is not an http or https address")
        return value

    def positive(self, name: str, default: int) -> int:
        text = self._environ.get(name, "").strip()
        if not text:
            return default
        if text.isascii() and text.isdigit() and int(text) > 0:
            return int(text)
        self.faults.append(f"{name} is not a positive whole number")
        return default

    def window(self, name: str) -> WindowSetting | None:
        text = self._environ.get(name, "").strip()
        if not text:
            return None
        try:
            return parse_window(text)
        except ValueError as error:
            self.faults.append(f"{name}: {error}")
            return None


def read_config(environ: Mapping[str, str]) -> Config:
    """Reads the environment.

    Args:
        environ: Usually ``os.environ``.

    Returns:
        The run's configuration.

    Raises:
        ConfigError: One or more variables are missing or wrong; the message
            names all of them and shows no value.
    """
    reader = _Reader(environ)
    config = Config(
        file_url=reader.address("FILE_URL"),
        variable=reader.text("ANALYSIS_VARIABLE"),
        bucket=reader.text("OUTPUT_BUCKET"),
        key=reader.text("OUTPUT_KEY"),
        endpoint_url=reader.address("S3_ENDPOINT_URL"),
        region=reader.text("S3_REGION"),
        access_key_id=reader.text("S3_ACCESS_KEY_ID"),
        secret_access_key=reader.text("S3_SECRET_ACCESS_KEY"),
        window=reader.window("MATRIX_PROFILE_WINDOW"),
        max_bytes=reader.positive(
            "MATRIX_PROFILE_MAX_BYTES", DEFAULT_MAX_BYTES
        ),
        max_points=reader.positive(
            "MATRIX_PROFILE_MAX_POINTS", DEFAULT_MAX_POINTS
        ),
        threads=reader.positive(
            "MATRIX_PROFILE_THREADS", len(os.sched_getaffinity(0))
        ),
    )
    if reader.faults:
        raise ConfigError(
            "the analysis is not configured: " + "; ".join(reader.faults)
        )
    return config


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
