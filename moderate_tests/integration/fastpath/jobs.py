"""A code location whose runs say what they do in a file."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from dagster import (
    Config,
    Definitions,
    OpExecutionContext,
    RunRequest,
    in_process_executor,
    job,
    op,
)

from moderate.flows.ticks import run_request
from moderate.flows.work import BatchConfig, bind
from moderate.inbox.model import Dispatch, Kind
from moderate.inbox.store import Inbox
from moderate.resources import inbox_address
from moderate.settings import process_settings

EVENT = Kind("event", slots=16, max_failures=3)

SECONDS_AT_MOST = 120.0


class Deed(Config):
    """What a run does."""

    file: str
    what: str = "end"


@op
def deed(context: OpExecutionContext, config: Deed) -> None:
    """Write a line to the file, then do as told."""
    status = dict(
        line.split(":\t", 1)
        for line in Path("/proc/self/status").read_text().splitlines()
    )
    line = f"{context.run_id} {os.getpid()} {os.getsid(0)} {time.time()}"
    with Path(config.file).open("a") as file:
        file.write(f"{line} {status['Threads']} {status['SigBlk']}\n")
    sys.stdout.write(f"said by {context.run_id}\n")
    if config.what == "fail":
        raise RuntimeError("as told")
    if config.what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if config.what == "breed":
        subprocess.Popen(["sleep", str(SECONDS_AT_MOST)])
    if config.what in {"stay", "breed"}:
        threading.Event().wait(SECONDS_AT_MOST)
    if config.what == "defy":
        end = time.monotonic() + SECONDS_AT_MOST
        while time.monotonic() < end:
            try:
                time.sleep(1)
            except BaseException:  # noqa: BLE001
                continue


@job(executor_def=in_process_executor)
def deed_job() -> None:
    """Do one deed."""
    deed()


@op
def work(context: OpExecutionContext, config: BatchConfig) -> None:
    """Work on a batch: write one line for each item."""
    inbox = Inbox(inbox_address(process_settings()), [EVENT])
    lease = bind(context, inbox, config.batch_id, EVENT.name)
    if lease is None:
        return
    for item in lease.items:
        lease.begin([item])
        with Path(str(item.payload["file"])).open("a") as file:
            file.write(f"{item.key}\n")
        lease.done(item, {})


@job(executor_def=in_process_executor)
def work_job() -> None:
    """Work on one batch."""
    work()


def work_request(dispatch: Dispatch) -> RunRequest:
    """Build the request of the run that works on a batch."""
    return run_request(dispatch, job=work_job.name, op="work")


defs = Definitions(jobs=[deed_job, work_job])
