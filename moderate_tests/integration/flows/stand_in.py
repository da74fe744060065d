"""A quick stand-in for the analysis: its variable says how it behaves.

Runs as a program with nothing but the standard library. The folder of the
attempts, two above its own, is where a test tells it to go on.
"""

import hashlib
import hmac
import os
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

DEADLINE_SECONDS = 200.0
GO = Path("../../go")
TRIED = Path("../../tried")

EX_DATAERR = 65
EX_TEMPFAIL = 75


def put_report() -> None:
    """Upload a report, signed as S3 wants it (signature version 4)."""
    body = b"<html>a report</html>"
    url = (
        f"{os.environ['S3_ENDPOINT_URL'].rstrip('/')}"
        f"/{os.environ['OUTPUT_BUCKET']}/{os.environ['OUTPUT_KEY']}"
    )
    digest = hashlib.sha256(body).hexdigest()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "host": urlsplit(url).netloc,
        "x-amz-content-sha256": digest,
        "x-amz-date": stamp,
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    scope = f"{stamp[:8]}/{os.environ['S3_REGION']}/s3/aws4_request"
    request = f"PUT\n{urlsplit(url).path}\n\n{lines}\n{names}\n{digest}"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{os.environ['S3_SECRET_ACCESS_KEY']}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}"
    headers["authorization"] = (
        "AWS4-HMAC-SHA256 Credential="
        f"{os.environ['S3_ACCESS_KEY_ID']}/{scope},SignedHeaders={names},"
        f"Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"
    )
    put = urllib.request.Request(url, data=body, headers=headers, method="PUT")
    urllib.request.urlopen(put).close()


def wait_for(path: Path) -> None:
    """Wait until a test has made a file."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not path.exists():
        if time.monotonic() > end:
            sys.exit(f"nobody made {path}")
        time.sleep(0.02)


def end(code: int, last_line: str) -> NoReturn:
    """End with a last line for the user, as an analysis does."""
    sys.stdout.write(f"{last_line}\n")
    sys.exit(code)


def slow() -> None:
    """Wait until a test says so."""
    wait_for(GO)
    put_report()


def later() -> None:
    """Ask to be tried again."""
    end(EX_TEMPFAIL, "the data could not be reached")


def bad() -> None:
    """Find fault with the data."""
    end(EX_DATAERR, "the column is empty")


def silent() -> None:
    """End well, without a report."""


def fetch() -> None:
    """Read the data."""
    urllib.request.urlopen(os.environ["FILE_URL"]).close()
    put_report()


def tell_all() -> None:
    """Write every secret into the log, and fail."""
    for name, value in os.environ.items():
        sys.stdout.write(f"{name}={value}\n")
    end(1, f"could not read {os.environ['FILE_URL']}")


def tell_all_and_report() -> None:
    """Write every secret into the log, and end well."""
    for name, value in os.environ.items():
        sys.stdout.write(f"{name}={value}\n")
    put_report()


def a_while() -> None:
    """Take some time, so that something can happen meanwhile."""
    time.sleep(1.0)
    put_report()


BEHAVIOURS = {
    "report": put_report,
    "slow": slow,
    "later": later,
    "bad": bad,
    "silent": silent,
    "fetch": fetch,
    "a-while": a_while,
    "tell-all": tell_all,
    "tell-all-and-report": tell_all_and_report,
}
ONCE = "-once"


def main() -> None:
    """Behave as the variable says; with ``-once`` only the first time."""
    name = os.environ["ANALYSIS_VARIABLE"]
    behaviour = BEHAVIOURS[name.removesuffix(ONCE)]
    if name.endswith(ONCE) and TRIED.exists():
        behaviour = put_report
    TRIED.touch()
    behaviour()


if __name__ == "__main__":
    main()
