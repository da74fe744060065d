"""With the fast path: how soon a run's end is known, however it ends."""

import time
from collections.abc import Callable, Sequence

import psutil
import psycopg

from benchmarks.report import Row
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import open_live
from moderate_tests.e2e.ways import Way
from moderate_tests.e2e.webserver import Run
from moderate_tests.faults import processes
from moderate_tests.faults.workload import Evidence, stand_in

LONG = 300
"""Seconds of work that nobody waits for: it is released before."""

TIMES = 3
WORKERS = 2
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
STATUS = "SELECT status FROM runs WHERE run_id = %s"


def measure() -> Sequence[Row]:
    """Kill runs and workers, and cancel runs, while they work."""
    with open_live(Way.FAST) as live:
        killed = [_until(live, _kill_run, "FAILURE") for _ in range(TIMES)]
        _settle(live)
        cancelled = [_until(live, _cancel, "CANCELED") for _ in range(TIMES)]
        _settle(live)
        orphaned = []
        for _ in range(WORKERS):
            orphaned.append(_until(live, _kill_worker, "FAILURE"))
            live.stack.worker.start()
        _settle(live)
    return (
        _row("a run's process is killed → the run has failed", killed, "1 s"),
        _row("a worker is killed → its run has failed", orphaned, "10 s"),
        _row("a run is cancelled in the UI → cancelled", cancelled, "1 s"),
    )


def _row(what: str, seconds: Sequence[float], to_reach: str) -> Row:
    longest = f"{max(seconds):.2f} s, the longest of {len(seconds)}"
    return Row(f"fast path: {what}", longest, to_reach)


def _until(live: Live, act: Callable[[Live, Run], None], end: str) -> float:
    """Do something to a run at work; return the seconds until its end."""
    job = live.post(stand_in(seconds=LONG))
    live.until(
        lambda: processes.analyses_of(live.stack.root, job),
        "the analysis runs",
    )
    (run,) = live.ui.runs_of(job)
    with psycopg.connect(
        live.stack.postgres.url("dagster"), autocommit=True
    ) as conn:
        begun = time.monotonic()
        act(live, run)
        while conn.execute(STATUS, [run.id]).fetchall() != [(end,)]:
            if time.monotonic() > begun + PATIENCE_SECONDS:
                msg = f"the run did not end as {end}"
                raise TimeoutError(msg)
            time.sleep(POLL_SECONDS)
        return time.monotonic() - begun


def _kill_run(live: Live, run: Run) -> None:
    pid = live.ui.process_of(run)
    assert pid  # without one psutil would mean this process
    psutil.Process(pid).kill()


def _kill_worker(live: Live, _: Run) -> None:
    pid = live.stack.worker.process.pid
    assert pid
    psutil.Process(pid).kill()


def _cancel(live: Live, run: Run) -> None:
    live.ui.terminate(run)


def _settle(live: Live) -> None:
    """Let all jobs come to their end."""
    Evidence(live.stack.root).release()
    live.until_settled([])
