"""What failpoint definitions start as the analysis: real, or a stand-in.

A job whose variable is ``stand_in(...)`` gets a program that takes as long
as told and then leaves a small report. It writes down that it began, and
whether another one for the same job was still at work: two that compute the
same thing at once would be a fault. Any other job gets the real workload.

This file is run as a script, with the environment of the workload; only
``stand_in`` and ``Evidence`` are imported, by tests.
"""

import fcntl
import json
import os
import runpy
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PREFIX = "stand-in "
REAL = "moderate.workloads.matrix_profile"
EVIDENCE = "evidence"
RELEASE = "release"
POLL_SECONDS = 0.1
OVERLAP_EXIT = 70  # EX_SOFTWARE of sysexits.h


def stand_in(*, seconds: float = 0, exit_code: int = 0) -> str:
    """Return the variable of a job that is done by a stand-in.

    Args:
        seconds: How long it works, unless it is released before.
        exit_code: What it ends with.
    """
    return PREFIX + json.dumps({"seconds": seconds, "exit_code": exit_code})


@dataclass(frozen=True)
class Evidence:
    """What the stand-ins of a stack wrote down.

    Attributes:
        root: The stack's folder.
    """

    root: Path

    def of(self, job_id: int) -> list[dict[str, Any]]:
        """Return the starts for a job, in order."""
        path = self.root / EVIDENCE / f"{job_id}.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines()]

    def release(self) -> None:
        """Let all jobs that were at work until now be done soon."""
        folder = self.root / EVIDENCE
        folder.mkdir(exist_ok=True)
        folder.joinpath(RELEASE).touch()

    def overlaps(self, job_id: int) -> int:
        """Return how often one began while another was at work."""
        return sum(each["overlap"] for each in self.of(job_id))


def main() -> int:
    """Do the job of the environment; return the exit code."""
    variable = os.environ["ANALYSIS_VARIABLE"]
    if not variable.startswith(PREFIX):
        runpy.run_module(REAL, run_name="__main__")
        return 0
    order = json.loads(variable.removeprefix(PREFIX))
    job = os.environ["OUTPUT_KEY"].split("-")[1]
    if not _begin(job):
        return OVERLAP_EXIT
    _work(job, order["seconds"])
    if order["exit_code"] == 0:
        _upload()
    return int(order["exit_code"])


def _begin(job: str) -> bool:
    """Write down the start; say whether no other is at work."""
    folder = _folder()
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / f"{job}.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        overlap = False
    except BlockingIOError:
        overlap = True
    key = os.environ["OUTPUT_KEY"]
    line = {"pid": os.getpid(), "key": key, "overlap": overlap}
    with (folder / f"{job}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    return not overlap


def _work(job: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not _is_released(job):
        time.sleep(POLL_SECONDS)


def _is_released(job: str) -> bool:
    """Say whether the job was released, in this attempt or before it."""
    release = _folder() / RELEASE
    # Nobody writes into the lock: its time is that of the first attempt.
    first = (_folder() / f"{job}.lock").stat().st_mtime_ns
    return release.exists() and release.stat().st_mtime_ns > first


def _folder() -> Path:
    # HOME is ROOT/analyses/ATTEMPT/scratch.
    return Path(os.environ["HOME"]).parents[2] / EVIDENCE


def _upload() -> None:
    # The real workload must not have to load this.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    boto3.client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT_URL"],
        region_name=os.environ["S3_REGION"],
        aws_access_key_id=os.environ["S3_ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["S3_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}),
    ).put_object(
        Bucket=os.environ["OUTPUT_BUCKET"],
        Key=os.environ["OUTPUT_KEY"],
        Body=f"<html>{os.environ['OUTPUT_KEY']}</html>".encode(),
    )


if __name__ == "__main__":
    sys.exit(main())
