"""The contract with the launcher: exit codes, last line, report, no secret."""

import io
import os
import re
import socket
from collections.abc import Iterator

import pyarrow as pa
import pytest
from pyarrow import parquet

from moderate.local.services.s3 import S3
from moderate_tests.integration.workloads.conftest import (
    SECRETS,
    Ended,
    FileServer,
    run_command,
)
from moderate_tests.unit.workloads.samples import csv_of, power

BUCKET = "moderate-output-bucket"
CANARY = "canary-secret-key"


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port on which nobody listens as long as the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def run(file_server: FileServer, **environment: str) -> Ended:
    """Runs on ``data.csv`` with the secrets that must not be shown."""
    ended = run_command(
        **{
            "FILE_URL": file_server.url("data.csv"),
            "S3_SECRET_ACCESS_KEY": CANARY,
            **environment,
        }
    )
    for secret in SECRETS:
        assert secret not in ended.stderr + ended.stdout
    return ended


def failed(ended: Ended, code: int, summary: str) -> None:
    """Checks the end, and that its last line is fit for end users."""
    assert ended.code == code, ended.stderr
    assert re.search(summary, ended.summary), ended.summary
    assert "://" not in ended.summary
    assert "Error" not in ended.summary
    assert len(ended.summary) < 1000
    assert "Traceback" in ended.stderr


@pytest.fixture
def year(file_server: FileServer) -> FileServer:
    file_server.files["data.csv"] = csv_of(power(2_000))
    return file_server


@pytest.mark.services
def test_a_report_is_stored_and_the_command_ends_with_0(
    year: FileServer, s3: S3
) -> None:
    ended = run_command(
        FILE_URL=year.url("data.csv"),
        OUTPUT_BUCKET=BUCKET,
        OUTPUT_KEY="a b/ü.html",
        **_store(s3),
    )
    assert ended.code == os.EX_OK, ended.stderr
    stored = s3.client().get_object(Bucket=BUCKET, Key="a b/ü.html")
    assert stored["ContentType"] == "text/html; charset=utf-8"
    report = stored["Body"].read().decode()
    assert report.startswith("<!doctype html>")
    assert report.endswith("</html>")
    assert "data.csv" in report
    for secret in (*SECRETS, _store(s3)["S3_SECRET_ACCESS_KEY"]):
        assert secret not in report
        assert secret not in ended.stderr


@pytest.mark.services
def test_a_second_run_replaces_the_report(year: FileServer, s3: S3) -> None:
    for window in ("24h", "12h"):
        ended = run_command(
            FILE_URL=year.url("data.csv"),
            OUTPUT_BUCKET=BUCKET,
            MATRIX_PROFILE_WINDOW=window,
            **_store(s3),
        )
        assert ended.code == os.EX_OK, ended.stderr
    listed = s3.client().list_objects_v2(Bucket=BUCKET, Prefix="reports/7")
    assert listed["KeyCount"] == 1
    stored = s3.client().get_object(Bucket=BUCKET, Key="reports/7.html")
    assert b"12 h (48 values)" in stored["Body"].read()


@pytest.mark.services
def test_parquet_gives_a_report_too(file_server: FileServer, s3: S3) -> None:
    file = io.BytesIO()
    columns = {"power": power(2_000), "other": ["x"] * 2_000}
    parquet.write_table(pa.table(columns), file)
    file_server.files["data.csv"] = file.getvalue()
    ended = run_command(
        FILE_URL=file_server.url("data.csv"),
        OUTPUT_BUCKET=BUCKET,
        **_store(s3),
    )
    assert ended.code == os.EX_OK, ended.stderr


def _store(s3: S3) -> dict[str, str]:
    names = ("ENDPOINT_URL", "REGION", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    environment = s3.client_environment()
    return {f"S3_{name}": environment[f"S3_{name}"] for name in names}


def test_an_unknown_variable_ends_with_65_and_the_columns(
    year: FileServer,
) -> None:
    ended = run(year, ANALYSIS_VARIABLE="gas")
    failed(ended, os.EX_DATAERR, "no column “gas”; it has: time, other, power")


@pytest.mark.parametrize(
    ("data", "summary"),
    [
        (b"", "the file is empty"),
        (b"<html><body>login</body></html>", "it is HTML or XML"),
        (b"time,power\n2020-01-01,1\n2020-01-02,2\n", "too short"),
        (b"time,power\n2020-01-01,on\n2020-01-02,off\n", "holds no numbers"),
    ],
)
def test_data_that_cannot_work_end_with_65(
    file_server: FileServer, data: bytes, summary: str
) -> None:
    file_server.files["data.csv"] = data
    failed(run(file_server), os.EX_DATAERR, summary)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_link_that_is_void_ends_with_65(
    file_server: FileServer, status: int
) -> None:
    file_server.statuses["data.csv"] = status
    failed(
        run(file_server), os.EX_DATAERR, "link has expired or the file is gone"
    )


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_store_in_trouble_ends_with_75(
    file_server: FileServer, status: int
) -> None:
    file_server.statuses["data.csv"] = status
    failed(run(file_server), os.EX_TEMPFAIL, f"answered {status}")


def test_a_download_that_breaks_off_ends_with_75(year: FileServer) -> None:
    year.broken.add("data.csv")
    failed(run(year), os.EX_TEMPFAIL, "could not be downloaded")


def test_a_store_that_is_away_ends_with_75(
    file_server: FileServer, dead_port: int
) -> None:
    """urllib3 puts the whole address in its errors and warnings."""
    url = file_server.url("data.csv").replace(
        str(file_server.port), str(dead_port)
    )
    ended = run(file_server, FILE_URL=url)
    failed(ended, os.EX_TEMPFAIL, "the connection failed")
    assert "[redacted]" in ended.stderr


def test_a_file_that_says_that_it_is_too_large_is_not_read(
    year: FileServer,
) -> None:
    ended = run(year, MATRIX_PROFILE_MAX_BYTES="1000")
    failed(ended, os.EX_DATAERR, "the file is too large")


def test_a_file_that_never_ends_is_cut_off(file_server: FileServer) -> None:
    file_server.endless.add("data.csv")
    ended = run(file_server, MATRIX_PROFILE_MAX_BYTES="10000000")
    failed(ended, os.EX_DATAERR, "the file is too large")


def test_a_table_that_is_too_long_ends_with_65(year: FileServer) -> None:
    ended = run(year, MATRIX_PROFILE_MAX_POINTS="1000")
    failed(ended, os.EX_DATAERR, "more than 1,000 rows")


def test_an_upload_to_a_store_that_is_away_ends_with_75(
    year: FileServer, dead_port: int
) -> None:
    ended = run(year, S3_ENDPOINT_URL=f"http://127.0.0.1:{dead_port}")
    failed(ended, os.EX_TEMPFAIL, "report could not be stored: the connection")


def test_an_upload_to_a_store_in_trouble_ends_with_75(
    year: FileServer,
) -> None:
    """The file server knows no PUT and answers 501, as a store in trouble."""
    ended = run(year, S3_ENDPOINT_URL=f"http://127.0.0.1:{year.port}")
    failed(ended, os.EX_TEMPFAIL, "report could not be stored: the store")


@pytest.mark.services
@pytest.mark.parametrize(
    "wrong",
    [{"OUTPUT_BUCKET": "no-such-bucket"}, {"S3_SECRET_ACCESS_KEY": CANARY}],
)
def test_an_upload_that_is_refused_ends_with_78(
    year: FileServer, s3: S3, wrong: dict[str, str]
) -> None:
    ended = run(year, **{**_store(s3), "OUTPUT_BUCKET": BUCKET, **wrong})
    failed(ended, os.EX_CONFIG, "report could not be stored: the store answ")


def test_a_missing_setting_ends_with_78_before_anything_is_done(
    year: FileServer,
) -> None:
    ended = run(year, OUTPUT_KEY="", MATRIX_PROFILE_THREADS="many")
    failed(
        ended,
        os.EX_CONFIG,
        "OUTPUT_KEY is missing; MATRIX_PROFILE_THREADS is not",
    )
    assert not year.hits
