"""Runs, pods, Jobs, the API server and its watches are killed by chance.

Whatever is killed, every platform job gets one word, no analysis runs beside
another of its item or twice, and nothing is left on the cluster.
"""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from dagster import RunRequest, instance_for_test

from moderate.analyses.kubernetes_api import JOBS
from moderate.analyses.launcher import AttemptId
from moderate.clients.platform_models import Job
from moderate.flows.matrix_profile import wiring
from moderate.inbox.model import State
from moderate.local.services.platform_api import PlatformApi
from moderate_tests.integration.flows import kubernetes_worker
from moderate_tests.integration.flows.kubernetes_service import (
    KubernetesService,
    cluster_for,
    settings_for,
    use_cluster,
)
from moderate_tests.integration.flows.platform import (
    WORDS,
    AsUser,
    environment,
)
from moderate_tests.integration.flows.waiting import wait_until
from moderate_tests.kubernetes.cluster import NAMESPACE
from moderate_tests.kubernetes.store import OVER, ApiError

pytestmark = pytest.mark.services

SEED = 20
AT_ONCE = 3
TICK_SECONDS = 0.3
CALM_SECONDS = 240.0
IMPATIENT = {
    # On a busy machine a run that lives may be slow: a dead one is told.
    "INBOX_DISPATCH_GRACE_SECONDS": "600",
    "INBOX_HEARTBEAT_SECONDS": "0.2",
    "INBOX_HEARTBEAT_TIMEOUT_SECONDS": "600",
    "MATRIX_PROFILE_MAX_CONCURRENT": str(AT_ONCE),
    "MATRIX_PROFILE_MAX_FAILURES": "1000",
    "PYTHONHASHSEED": "0",
}


@pytest.fixture
def storm(
    settings: dict[str, str],
    platform_api: PlatformApi,
    as_user: AsUser,
    no_reports: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator["Storm"]:
    with cluster_for(tmp_path / "analyses") as cluster:
        values = {**settings_for(cluster, settings, tmp_path), **IMPATIENT}
        use_cluster(monkeypatch, values["KUBECONFIG"])
        # In files: in memory a table that another thread reads is locked.
        with environment(values), instance_for_test() as instance:
            service = KubernetesService(
                instance, platform_api.url, as_user, cluster=cluster
            )
            service.prepare()
            storm = Storm(service)
            try:
                yield storm
            finally:
                storm.close()
                service.close()
                wiring._cluster.cache_clear()


def _end_fork_server() -> None:
    """Have the next test's fork server load that test's modules.

    A process has but one; with the modules of another test each child would
    import its own anew, the ingestion framework for ten seconds each.
    """
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


@dataclass
class Storm:
    """The service at work, with everything around it being killed."""

    service: KubernetesService
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    runs: dict[ForkServerProcess, int] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    started: set[str | None] = field(default_factory=set)

    def __post_init__(self) -> None:
        _end_fork_server()  # its modules are those of other tests
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([kubernetes_worker.__name__])

    def close(self) -> None:
        for run in self.runs:
            run.kill()
            run.join()
        _end_fork_server()

    def rage(self, kills: int) -> None:
        """Kill so many things, while there is always work under way."""
        faults = (
            self.kill_run,
            self.kill_pod,
            self.delete_job,
            self.kill_api_server,
            self.break_watches,
        )
        bag: list[Callable[[], bool]] = []
        while self.killed.total() < kills:
            while self.unfinished() < AT_ONCE:
                self.jobs.append(self.service.post_job("a-while"))
            self.work(self.chance.uniform(0.1, 1.5))
            # Each kind in each round, in an order of its own.
            bag = bag or self.chance.sample(faults, len(faults))
            fault = bag.pop()
            if fault():
                self.killed[fault.__name__] += 1

    def calm_down(self) -> None:
        """Let the service end what there is."""
        end = time.monotonic() + CALM_SECONDS
        while self.unfinished() or self.untold():
            assert time.monotonic() < end, self.service.items()
            self.work(TICK_SECONDS)
        for run in self.runs:
            run.join()

    def work(self, seconds: float) -> None:
        """Let the service do what it does, for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for request in self.service.tick():
                # As the daemon does: a key that has had a run is skipped.
                if request.run_key not in self.started:
                    self.started.add(request.run_key)
                    self.start(request)
            self.notice_dead_runs()
            time.sleep(TICK_SECONDS)

    def notice_dead_runs(self) -> None:
        """Let time pass for their batches, so that those are freed."""
        for run in [run for run in self.runs if not run.is_alive()]:
            batch = self.runs.pop(run)
            self.service.sql(
                "UPDATE batch SET created_at = created_at - interval '2 h',"
                " started_at = started_at - interval '2 h',"
                f" heartbeat_at = heartbeat_at - interval '2 h'"
                f" WHERE id = {batch}"
            )

    def start(self, request: RunRequest) -> None:
        run = self._context.Process(
            target=kubernetes_worker.carry_out,
            args=(
                dict(os.environ),
                request.job_name,
                json.loads(json.dumps(request.run_config)),
                dict(request.tags),
            ),
        )
        run.start()
        (op,) = request.run_config["ops"].values()
        self.runs[run] = op["config"]["batch_id"]

    def unfinished(self) -> int:
        done = {
            item.key
            for item in self.service.items()
            if item.state is State.DONE
        }
        return sum(str(job.id) not in done for job in self.jobs)

    def untold(self) -> int:
        words = self.service.items(WORDS)
        return sum(word.state is not State.DONE for word in words)

    # What is killed; each says whether there was something to kill.

    def kill_run(self) -> bool:
        alive = [run for run in self.runs if run.is_alive()]
        if alive:
            self.chance.choice(alive).kill()
        return bool(alive)

    def kill_pod(self) -> bool:
        cluster = self.service.cluster
        names = [
            pod["metadata"]["labels"]["job-name"]
            for pod in cluster.store.find("pods", NAMESPACE)
            if pod["status"].get("phase") not in OVER
        ]
        if not names:
            return False
        name = self.chance.choice(names)
        ways: tuple[Callable[[], object], ...] = (
            lambda: cluster.node.pod_of(name).kill(),
            lambda: cluster.delete_pod(name),
            lambda: cluster.evict(name),
        )
        return happened(self.chance.choice(ways))

    def delete_job(self) -> bool:
        names = self.service.cluster.names("jobs")
        if not names:
            return False
        policy = self.chance.choice(["Background", "Foreground", "Orphan"])
        self.service.cluster.client().delete(
            JOBS, self.chance.choice(names), {"propagationPolicy": policy}
        )
        return True

    def kill_api_server(self) -> bool:
        self.service.cluster.server.kill()
        self.work(self.chance.uniform(0.2, 2.0))
        self.service.cluster.server.start()
        return True

    def break_watches(self) -> bool:
        self.service.cluster.store.forget_history()
        self.service.cluster.server.cut_watches()
        return True


def happened(act: Callable[[], object]) -> bool:
    """Do something to a thing that may have just gone."""
    try:
        act()
    except (ApiError, ValueError, IndexError):
        return False
    return True


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(8, marks=pytest.mark.timeout(600)),
        pytest.param(100, marks=[pytest.mark.full, pytest.mark.timeout(1800)]),
    ],
)
def test_kills_leave_one_word_per_job_and_no_orphan(
    storm: Storm, kills: int
) -> None:
    storm.rage(kills)
    storm.calm_down()

    service, cluster = storm.service, storm.service.cluster
    patches = service.all_patches()
    assert set(patches) == {job.id for job in storm.jobs}
    service.check_words()
    for job in storm.jobs:
        assert service.results(job)["output_key"]
    # No analysis twice, none beside another of its item.
    assert max(Counter(cluster.node.starts).values()) == 1
    wait_until(lambda: not storm_runs(storm))
    assert_no_two_at_once(storm)
    # No orphan: what a killed worker left, the sensor has ended.
    service.end_leftovers()
    kinds = ("jobs", "pods", "secrets")
    wait_until(lambda: not any(map(cluster.names, kinds)))
    assert service.launcher.all_attempts() == []
    repeats = sum(len(told) - 1 for told in patches.values())
    print(  # noqa: T201  # the summary that is asked for
        f"\nkills {storm.killed.total()}, orphans 0, double Jobs 0, told wrong"
        f" 0, jobs {len(storm.jobs)}, attempts {len(cluster.node.starts)},"
        f" told again {repeats}, seed {SEED}, {dict(storm.killed)}"
    )


def storm_runs(storm: Storm) -> list[str]:
    """Return the pods that still run something."""
    return [
        pod["metadata"]["name"]
        for pod in storm.service.cluster.store.find("pods", NAMESPACE)
        if pod["status"].get("phase") not in OVER
    ]


def assert_no_two_at_once(storm: Storm) -> None:
    by_item: dict[int, list[tuple[float, float]]] = {}
    for name, begun, ended in storm.service.cluster.node.spans:
        attempt = AttemptId.parse(name)
        assert attempt
        by_item.setdefault(attempt.item_id, []).append((begun, ended))
    for spans in by_item.values():
        for before, after in pairwise(sorted(spans)):
            assert before[1] <= after[0]
