"""Tables and configurations for the tests."""

import io
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from moderate.workloads.matrix_profile.analysis import analyse
from moderate.workloads.matrix_profile.config import Config
from moderate.workloads.matrix_profile.reader import read_table
from moderate.workloads.matrix_profile.report import Subject, render

ENVIRONMENT = {
    "FILE_URL": "https://s3.example/assets/a/meter%207.csv?X-Amz-Signature=abcdef0123",
    "ANALYSIS_VARIABLE": "power",
    "OUTPUT_BUCKET": "outputs",
    "OUTPUT_KEY": "reports/7.html",
    "S3_ENDPOINT_URL": "https://s3.example",
    "S3_REGION": "eu-west-1",
    "S3_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "S3_SECRET_ACCESS_KEY": "very-secret-key",
}


def config(variable: str = "power", max_points: int = 1_000_000) -> Config:
    return Config(
        file_url=ENVIRONMENT["FILE_URL"],
        variable=variable,
        bucket="outputs",
        key="reports/7.html",
        endpoint_url="https://s3.example",
        region="eu-west-1",
        access_key_id="AKIAEXAMPLE",
        secret_access_key="very-secret-key",
        window=None,
        max_bytes=10**9,
        max_points=max_points,
        threads=2,
    )


def power(length: int, seed: int = 1) -> NDArray[np.float64]:
    """A building's quarter-hourly power: days, weeks, noise."""
    steps = np.arange(length)
    day = np.clip(np.sin(2 * np.pi * (steps % 96 - 30) / 96), 0, None)
    workday = np.where(steps // 96 % 7 < 5, 1.0, 0.35)
    noise = np.random.default_rng(seed).normal(0, 0.4, length)
    return np.round(4 + 12 * day * workday + noise, 3)


def csv_of(values: NDArray[np.float64], variable: str = "power") -> bytes:
    """A quarter-hourly table; missing values are missing rows."""
    begin = np.datetime64("2023-01-01T00:00")
    name = '"' + variable.replace('"', '""') + '"'
    lines = [f"time,other,{name}"]
    for step, value in enumerate(values):
        if np.isfinite(value):
            time = str(begin + np.timedelta64(15 * step, "m"))
            lines.append(f"{time.replace('T', ' ')},1,{value}")
    return ("\n".join(lines) + "\n").encode()


def report_of(
    data: bytes, variable: str = "power", file: str = "meter 7.csv"
) -> str:
    """The report of a table, as text."""
    settings = config(variable)
    table = read_table(io.BytesIO(data), variable, max_rows=10**6)
    subject = Subject(
        file=file,
        variable=variable,
        table=table.kind,
        time_column=table.time_column,
        created=datetime(2024, 2, 3, tzinfo=UTC),
    )
    return render(subject, analyse(table, settings)).decode()
