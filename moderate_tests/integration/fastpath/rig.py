"""Dagster on a database of its own, and workers as processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import psutil
from dagster import DagsterInstance, DagsterRun, RunRequest, RunsFilter
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.origin import JobPythonOrigin
from dagster._core.storage.tags import RUN_KEY_TAG

from moderate.fastpath.endings import tell_end
from moderate.inbox.admin import find_item
from moderate.inbox.database import Address
from moderate.inbox.store import Inbox
from moderate.inbox.warm_runs import WarmRuns
from moderate.local.services.postgres import Postgres
from moderate.settings import process_settings
from moderate_tests.e2e.waiting import wait_until
from moderate_tests.integration.fastpath.jobs import EVENT, deed_job, work_job

MODULE = "moderate_tests.integration.fastpath.jobs"
ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 120.0
NOTICED_SECONDS = 60.0
"""The promise is 1 s for a run's process and 10 s for a worker; a very busy
machine may need more, and only forgetting is a fault."""
COMMAND = ("-c", "from moderate.cli import main; main()")

INSTANCE = """
storage:
  custom:
    module: moderate.dagster_storage
    class: PooledPostgresStorage
    config:
      postgres_url: {env: FAST_TEST_URL}
run_launcher:
  module: moderate.fastpath.launcher
  class: ByTagRunLauncher
run_monitoring: {enabled: true, max_resume_run_attempts: 0}
telemetry: {enabled: false}
"""


Found = TypeVar("Found")


@dataclass(frozen=True)
class Line:
    """What a run wrote."""

    run_id: str
    pid: int
    session: int
    at: float
    threads: int
    blocked: int


@dataclass
class Rig:
    """One Dagster instance with the fast path."""

    folder: Path
    environment: Mapping[str, str]
    instance: DagsterInstance
    storage: str
    where: Address
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def runs(self) -> WarmRuns:
        return WarmRuns(self.where)

    @property
    def file(self) -> Path:
        return self.folder / "deeds"

    def lines(self) -> list[Line]:
        if not self.file.exists():
            return []
        found = []
        for text in self.file.read_text().splitlines():
            run_id, pid, session, at, threads, blocked = text.split()
            found.append(
                Line(
                    run_id,
                    int(pid),
                    int(session),
                    float(at),
                    int(threads),
                    int(blocked, 16),
                )
            )
        return found

    def line(self, run_id: str) -> Line:
        """Wait for the first line of a run."""
        return self.until(
            lambda: next(
                (each for each in self.lines() if each.run_id == run_id), None
            ),
            f"run {run_id} does something",
        )

    def until(
        self,
        condition: Callable[[], Found | None],
        what: str,
        within: float = PATIENCE_SECONDS,
    ) -> Found:
        """Wait for a condition; a timeout shows the log."""
        return wait_until(condition, what, within=within, explain=self.explain)

    def explain(self) -> str:
        log = self.folder / "log"
        return log.read_text()[-6000:] if log.exists() else ""

    def create(self, what: str = "end", **tags: str) -> str:
        """Create a run, as whoever launches it would."""
        config = {"file": str(self.file), "what": what}
        run = self.instance.create_run_for_job(
            deed_job,
            run_id=str(uuid4()),
            run_config={"ops": {"deed": {"config": config}}},
            tags={"moderate/batch": "1", **tags},
            job_code_origin=python_origin(deed_job.name),
        )
        return run.run_id

    def launch(self, what: str = "end", **tags: str) -> str:
        run_id = self.create(what, **tags)
        self.instance.launch_run(run_id, None)  # type: ignore[arg-type]
        return run_id

    def launch_request(self, request: RunRequest) -> None:
        """Do what the daemon does with a sensor's run request."""
        run_id = self.create_request(request)
        self.instance.launch_run(run_id, None)  # type: ignore[arg-type]

    def create_request(self, request: RunRequest) -> str:
        """Create the run of a request, as if it waited in the queue."""
        run = self.instance.create_run_for_job(
            work_job,
            run_id=str(uuid4()),
            run_config=dict(request.run_config or {}),
            tags={**request.tags, RUN_KEY_TAG: str(request.run_key)},
            job_code_origin=python_origin(work_job.name),
        )
        return run.run_id

    def runs_of(self, key: str, inbox: Inbox) -> Sequence[DagsterRun]:
        """Return the runs that were asked for an item."""
        with inbox.transaction() as conn:
            item = find_item(conn, EVENT.name, key)
        assert item
        wanted = {"moderate/item": str(item.id)}
        return self.instance.get_runs(RunsFilter(tags=wanted))

    def run(self, run_id: str) -> DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run
        return run

    def status(self, run_id: str) -> str:
        return self.run(run_id).status.value

    def until_over(self, run_id: str, within: float = PATIENCE_SECONDS) -> str:
        self.until(
            lambda: self.run(run_id).is_finished, f"{run_id} is over", within
        )
        return self.status(run_id)

    def start_worker(
        self, module: str = MODULE, **more: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker; it may not be ready yet."""
        return self.start(*COMMAND, "worker", "--module", module, **more)

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """Start a Python process."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**self.environment, **more},
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def stop_all(self) -> None:
        """Kill what was started."""
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.processes.clear()

    def forget_workers(self) -> None:
        """Have what killed workers left settled, as a new one would."""
        with self.runs.lost(timedelta()) as lost:
            for run_id in lost:
                tell_end(self.instance, run_id, "left by a test")


def python_origin(job: str) -> JobPythonOrigin:
    """Return how a process finds a job, as the code server says it."""
    repository = ReconstructableRepository.for_module(
        MODULE, "defs", str(ROOT)
    )
    return repository.get_reconstructable_job(job).get_python_origin()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def descendants(pid: int) -> Sequence[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@contextmanager
def open_rig(
    folder: Path, server: Postgres, inbox: str, dagster: str
) -> Iterator[Rig]:
    """Make an instance in these databases, which exist."""
    home = folder / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(INSTANCE)
    environment = {
        **{key: os.environ[key] for key in ("PATH", "HOME")},
        **server.client_environment(),
        "INBOX_DATABASE": inbox,
        "FAST_TEST_URL": server.url(dagster),
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": str(ROOT),
        "WORKER_DRAIN_SECONDS": "1",
    }
    old = dict(os.environ)
    os.environ.update(environment)
    process_settings.cache_clear()
    try:
        with DagsterInstance.get() as instance:
            where = Address(server.url(inbox))
            found = Rig(folder, environment, instance, dagster, where)
            try:
                yield found
            finally:
                found.stop_all()
    finally:
        os.environ.clear()
        os.environ.update(old)
        process_settings.cache_clear()
