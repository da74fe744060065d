"""The process that forks: what its children share, and how they end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from dagster import DagsterInstance
from dagster._core.definitions.reconstruct import ReconstructableRepository

from moderate.fastpath import wire
from moderate.fastpath.template import Template
from moderate_tests.e2e.waiting import wait_until
from moderate_tests.integration.fastpath.jobs import deed_job

MODULE = "moderate_tests.integration.fastpath.jobs"
ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 60.0


@dataclass
class Scene:
    """A template, and the Dagster instance that its children use."""

    folder: Path
    instance: DagsterInstance
    link: socket.socket
    process: subprocess.Popen[bytes]

    def hear(self) -> wire.Word:
        word = wire.receive(self.link)
        assert word
        return word

    def start(self, what: str) -> str:
        """Create a run and have it begun; return its id."""
        repository = ReconstructableRepository.for_module(
            MODULE, "defs", str(ROOT)
        )
        recon = repository.get_reconstructable_job(deed_job.name)
        run_id = str(uuid4())
        config = {"file": str(self.deeds(run_id)), "what": what}
        run = self.instance.create_run_for_job(
            deed_job,
            run_id=run_id,
            run_config={"ops": {"deed": {"config": config}}},
            job_code_origin=recon.get_python_origin(),
        )
        wire.send(self.link, wire.Start(run.run_id))
        return run.run_id

    def deeds(self, run_id: str) -> Path:
        return self.folder / f"deeds-{run_id}"

    def until_at_work(self, run_id: str) -> None:
        deeds = self.deeds(run_id)
        wait_until(deeds.exists, "the run is at work", within=PATIENCE_SECONDS)

    def status(self, run_id: str) -> str:
        run = self.instance.get_run_by_id(run_id)
        assert run
        return run.status.value


@contextmanager
def open_scene(folder: Path) -> Iterator[Scene]:
    """Start a template on an instance of its own."""
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DAGSTER_HOME": str(folder),
        "DAGSTER_DISABLE_TELEMETRY": "true",
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(PATIENCE_SECONDS)
    with ours, DagsterInstance.from_config(str(folder)) as instance:
        with theirs, (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "moderate.fastpath.template"),
                    *(str(theirs.fileno()), str(os.getpid()), MODULE),
                ],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdout=log,
                stderr=log,
            )
        found = Scene(folder, instance, ours, process)
        try:
            assert isinstance(found.hear(), wire.Ready)
            yield found
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with open_scene(tmp_path_factory.mktemp("template")) as found:
        yield found


def test_a_child_ends_well_and_shares_nothing(scene: Scene) -> None:
    run_id = scene.start("end")
    begun = scene.hear()
    assert isinstance(begun, wire.Started)
    assert scene.hear() == wire.Ended(run_id, 0)
    assert scene.status(run_id) == "SUCCESS"
    words = scene.deeds(run_id).read_text().split()
    _, pid, session, _, threads, blocked = words
    assert int(pid) == int(session) == begun.pid
    assert threads == "1"
    assert int(blocked, 16) == 0


def test_a_killed_child_is_told_at_once(scene: Scene) -> None:
    run_id = scene.start("die")
    assert isinstance(scene.hear(), wire.Started)
    assert scene.hear() == wire.Ended(run_id, -signal.SIGKILL)


def test_a_child_that_is_told_to_end_before_it_can_ends_later(
    scene: Scene,
) -> None:
    """The signal is held until the run can end well, and not lost."""
    run_id = scene.start("stay")
    wire.send(scene.link, wire.Stop(run_id, signal.SIGTERM))
    assert isinstance(scene.hear(), wire.Started)
    assert scene.hear() == wire.Ended(run_id, 1)
    assert scene.status(run_id) == "FAILURE"


def test_what_a_child_leaves_in_its_session_is_killed(scene: Scene) -> None:
    run_id = scene.start("breed")
    begun = scene.hear()
    assert isinstance(begun, wire.Started)
    scene.until_at_work(run_id)
    bred = wait_until(
        lambda: [
            each
            for each in psutil.Process(begun.pid).children(recursive=True)
            if each.name() == "sleep"
        ],
        "the run has a child",
        within=PATIENCE_SECONDS,
    )
    wire.send(scene.link, wire.Stop(run_id, signal.SIGKILL))
    assert scene.hear() == wire.Ended(run_id, -signal.SIGKILL)
    psutil.wait_procs(bred, PATIENCE_SECONDS)
    assert not any(each.is_running() for each in bred)


def test_a_template_without_its_worker_ends_with_its_children(
    tmp_path: Path,
) -> None:
    with open_scene(tmp_path) as scene:
        run_id = scene.start("stay")
        begun = scene.hear()
        assert isinstance(begun, wire.Started)
        scene.until_at_work(run_id)
        child = psutil.Process(begun.pid)
        scene.link.close()
        assert scene.process.wait(PATIENCE_SECONDS) == 0
        psutil.wait_procs([child], PATIENCE_SECONDS)
        assert not child.is_running()


def test_a_fork_that_fails_ends_that_run_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> int:
        raise OSError("no memory is left")

    monkeypatch.setattr(os, "fork", refuse)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        template = Template(theirs)
        with template._selector, template._wake, template._waker:
            assert template._start("a run") is None
        assert wire.receive(ours) == wire.Ended("a run", os.EX_OSERR)
