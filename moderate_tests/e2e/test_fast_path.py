"""The whole service with the fast path: the same promises, kept sooner."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from moderate.inbox.model import State
from moderate.local import install
from moderate.local.services.base import Service
from moderate.local.stack import Stack
from moderate_tests.conftest import require
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import DEFINITIONS, FAILPOINTS, SETTINGS
from moderate_tests.faults import processes
from moderate_tests.faults.failpoints import FOLDER
from moderate_tests.faults.nothing_lost import assert_nothing_lost
from moderate_tests.faults.workload import stand_in

pytestmark = [
    pytest.mark.services,
    pytest.mark.e2e,
    pytest.mark.full,
    pytest.mark.timeout(900),
]

LONG = 300


@pytest.fixture(scope="module")
def fast_live() -> Iterator[Live]:
    """The service on a stack of its own, with intake and worker."""
    require(install.POSTGRES, install.RABBITMQ)
    require(install.JAVA, install.MAVEN)
    root = Path(tempfile.mkdtemp(prefix="moderate-fast-e2e-"))
    root.chmod(0o711)
    stack = Stack(
        root,
        durable=False,
        module=DEFINITIONS,
        emulator={
            "EMULATOR_CONTROL": "true",
            "EMULATOR_JOB_DEBOUNCE_SECONDS": "0",
        },
        environment={**SETTINGS, FOLDER: str(root / FAILPOINTS)},
        fast=True,
    )
    try:
        with stack:
            live = Live(stack)
            yield live
            live.close()
    finally:
        shutil.rmtree(root)


def is_warm(live: Live, job: int) -> bool:
    """Whether the one run of a job was begun by the worker."""
    (run,) = live.ui.runs_of(job)
    rows = live.query("SELECT * FROM warm_run WHERE run_id = %s", run.id)
    return len(rows) == 1


def test_a_job_becomes_a_report_by_way_of_the_worker(fast_live: Live) -> None:
    job = fast_live.post(stand_in())
    assert_nothing_lost(fast_live, [job])
    assert fast_live.state(job) is State.DONE
    assert is_warm(fast_live, job)


def test_cancelling_a_warm_run_stops_its_analysis(fast_live: Live) -> None:
    live = fast_live
    job = live.post(stand_in(seconds=LONG))
    live.until(
        lambda: processes.analyses_of(live.stack.root, job),
        "the analysis runs",
    )
    (run,) = live.ui.runs_of(job)
    live.ui.terminate(run)
    live.until(lambda: live.ui.run(run.id).is_over, "the run is over")
    assert live.ui.run(run.id).status == "CANCELED"
    live.until_settled([job])
    assert live.state(job) is State.CANCELLED


@pytest.mark.parametrize("name", ["worker", "intake", "postgres", "rabbitmq"])
def test_nothing_is_lost_when_a_part_is_killed_under_load(
    fast_live: Live, name: str
) -> None:
    live = fast_live
    jobs = [live.post(stand_in(seconds=3)) for _ in range(3)]
    live.until(lambda: live.state(jobs[0]), "the first message is taken")
    part: Service = getattr(live.stack, name)
    part.kill()
    part.start()
    jobs += [live.post(stand_in()) for _ in range(2)]
    live.until_settled(jobs)
    assert_nothing_lost(live, jobs)
    assert {live.state(job) for job in jobs} == {State.DONE}
