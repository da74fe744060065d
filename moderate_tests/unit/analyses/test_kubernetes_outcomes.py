"""Whatever ends an attempt on a cluster, the reason is the right one."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from moderate.analyses import (
    kubernetes_api,
    kubernetes_objects,
    kubernetes_vigil,
)
from moderate.analyses.launcher import (
    Absent,
    Finished,
    Limits,
    Pending,
    Running,
)
from moderate.analyses.outcomes import Kind, Outcome, Reason, summarise
from moderate_tests.contract.launchers import programs
from moderate_tests.kubernetes.cluster import NAMESPACE, TestCluster
from moderate_tests.kubernetes.store import Json
from moderate_tests.unit.analyses.kubernetes_bench import (
    ATTEMPT,
    IMAGE,
    NAME,
    KubernetesBench,
    meanwhile_seen,
    outcome,
)

SHORT = timedelta(seconds=0.3)
QUOTA = "exceeded quota: compute, requested: memory=4Gi, used: 8Gi"
SECURITY = (
    'violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or'
    ' container "analysis" must set securityContext.runAsNonRoot=true)'
)

# While it runs: what happens, and what it is.

ACTS: dict[str, tuple[Callable[[TestCluster], object], Reason]] = {
    "evicted by a drain": (
        lambda cluster: cluster.evict(NAME),
        Reason.EVICTED,
    ),
    "preempted": (
        lambda cluster: cluster.evict(NAME, "PreemptionByScheduler"),
        Reason.EVICTED,
    ),
    "tainted": (
        lambda cluster: cluster.evict(NAME, "DeletionByTaintManager"),
        Reason.EVICTED,
    ),
    "short of memory on the node": (
        lambda cluster: cluster.end_by_kubelet(
            NAME, "Evicted", "The node was low on resource: memory."
        ),
        Reason.EVICTED,
    ),
    "too much scratch": (
        lambda cluster: cluster.end_by_kubelet(
            NAME,
            "Evicted",
            'Usage of EmptyDir volume "scratch" exceeds the limit "2Gi".',
        ),
        Reason.OUT_OF_DISK,
    ),
    "node lost": (
        lambda cluster: cluster.lose_node(NAME),
        Reason.NODE_LOST,
    ),
    "pod deleted": (
        lambda cluster: cluster.delete_pod(NAME),
        Reason.REMOVED,
    ),
    "container killed": (
        lambda cluster: cluster.node.pod_of(NAME).kill(),
        Reason.KILLED,
    ),
}


@pytest.mark.parametrize("what", ACTS)
def test_what_happens_to_a_running_one_is_told_apart(
    kubernetes: KubernetesBench, what: str
) -> None:
    act, reason = ACTS[what]
    launcher = kubernetes.launched()

    seen = meanwhile_seen(launcher, lambda: act(kubernetes.cluster))

    assert seen.reason is reason
    assert kubernetes.cluster.node.starts == [NAME]


@pytest.mark.parametrize("what", ACTS)
def test_it_is_seen_too_when_the_watch_has_broken(
    kubernetes: KubernetesBench, what: str
) -> None:
    act, reason = ACTS[what]
    launcher = kubernetes.launched()

    def break_and_act() -> None:
        kubernetes.cluster.store.forget_history()
        kubernetes.cluster.server.cut_watches()
        act(kubernetes.cluster)

    seen = meanwhile_seen(launcher, break_and_act)

    # No event tells of a drain, and its pod is gone.
    unseen = {Reason.EVICTED: {Reason.EVICTED, Reason.REMOVED}}
    assert seen.reason in unseen.get(reason, {reason})


def test_an_outcome_is_looked_for_often_enough_without_a_watch() -> None:
    """It is to be seen within 10 s, an answer that hangs included."""
    longest = kubernetes_vigil.LOOK_SECONDS + kubernetes_api.READ_SECONDS
    assert longest <= 10


def test_the_log_of_one_that_was_removed_is_kept(
    kubernetes: KubernetesBench,
) -> None:
    """It went with its pod; it was followed until then."""
    source = "import time; print('up', flush=True); time.sleep(600)"
    launcher = kubernetes.launched(source)
    launcher.wait(ATTEMPT, timedelta(seconds=0.5))
    programs.until(lambda: kubernetes.lines == [b"up\n"])

    kubernetes.cluster.delete_pod(NAME)
    outcome(launcher)
    programs.until(lambda: not kubernetes.cluster.pods_of(NAME))

    assert launcher.logs(ATTEMPT, 100) == b"up\n"


# Before it runs: what keeps it from that.


def refuse(said: str) -> Callable[[TestCluster], None]:
    return lambda cluster: cluster.controllers.rejections.update(
        {NAMESPACE: said}
    )


def no_image(said: str) -> Callable[[TestCluster], None]:
    return lambda cluster: cluster.node.missing_images.update({IMAGE: said})


def fill(cluster: TestCluster) -> None:
    cluster.node.is_full = True


HINDRANCES: dict[str, tuple[Callable[[TestCluster], None], Reason, Kind]] = {
    "no room": (fill, Reason.NO_CAPACITY, Kind.TEMPORARY),
    "quota": (refuse(QUOTA), Reason.NO_CAPACITY, Kind.TEMPORARY),
    "pod security": (
        refuse(SECURITY),
        Reason.BAD_CONFIGURATION,
        Kind.PERMANENT,
    ),
    "a webhook": (
        refuse('admission webhook "x" denied the request'),
        Reason.BAD_CONFIGURATION,
        Kind.PERMANENT,
    ),
    "no image": (
        no_image("manifest unknown"),
        Reason.NO_IMAGE,
        Kind.TEMPORARY,
    ),
}


@pytest.mark.parametrize("what", HINDRANCES)
def test_what_keeps_one_from_beginning_ends_it_after_a_while(
    kubernetes: KubernetesBench, what: str
) -> None:
    """The Job was accepted (201), and has no word of it in its status."""
    hinder, reason, kind = HINDRANCES[what]
    hinder(kubernetes.cluster)
    launcher = kubernetes.launcher()

    assert isinstance(launcher.launch(kubernetes.spec()), Pending)
    seen = outcome(launcher)

    assert (seen.reason, seen.kind) == (reason, kind)
    assert kubernetes.cluster.node.starts == []
    # Whoever looks later reads the same.
    assert outcome(kubernetes.launcher()) == seen


@pytest.mark.parametrize("what", HINDRANCES)
def test_it_begins_if_that_is_mended_in_time(
    kubernetes: KubernetesBench, what: str
) -> None:
    HINDRANCES[what][0](kubernetes.cluster)
    long = timedelta(minutes=5)
    launcher = kubernetes.launcher(pending_timeout=long, start_patience=long)
    launcher.launch(kubernetes.spec("print('up')"))
    status = launcher.wait(ATTEMPT, timedelta(seconds=1))
    assert isinstance(status, Pending)
    assert status.reason

    kubernetes.cluster.controllers.rejections.clear()
    kubernetes.cluster.node.missing_images.clear()
    kubernetes.cluster.node.is_full = False

    assert outcome(launcher).succeeded


def test_a_missing_service_account_is_a_fault_of_set_up(
    kubernetes: KubernetesBench,
) -> None:
    """There is never a pod, nor a condition: only events."""
    pod = {"serviceAccountName": "absent"}
    base = {"spec": {"template": {"spec": pod}}}
    launcher = kubernetes.launcher(base=base)
    launcher.launch(kubernetes.spec())

    seen = outcome(launcher)

    assert summarise(seen) == (
        "The analysis is not set up correctly (its service account is"
        " missing)."
    )


def test_a_missing_secret_is_a_fault_of_set_up(
    kubernetes: KubernetesBench,
) -> None:
    """Its pod would be Pending for ever."""
    source = {"secretRef": {"name": "absent"}}
    container = {"envFrom": [source]}
    base = {"spec": {"template": {"spec": {"containers": [container]}}}}
    launcher = kubernetes.launcher(base=base)
    launcher.launch(kubernetes.spec())

    seen = outcome(launcher)

    assert seen.reason is Reason.BAD_CONFIGURATION
    assert "Secret" in summarise(seen)
    programs.until(lambda: not kubernetes.cluster.pods_of(NAME))


def test_a_wrong_image_name_is_not_waited_for(
    kubernetes: KubernetesBench,
) -> None:
    image = "Not A Name"
    kubernetes.cluster.node.missing_images[image] = "invalid reference"
    launcher = kubernetes.launcher(start_patience=timedelta(hours=1))
    launcher.launch(kubernetes.spec(image=image))

    seen = outcome(launcher)

    assert (seen.reason, seen.kind) == (
        Reason.COULD_NOT_START,
        Kind.PERMANENT,
    )


# Deadlines


def test_one_that_calls_its_end_at_the_deadline_a_success_did_not_succeed(
    kubernetes: KubernetesBench,
) -> None:
    """The Job's own deadline: the pod is Succeeded, the Job is Failed."""
    lock = kubernetes.folder / "lock"
    source = programs.holds(lock, programs.ENDS_ON_TERM)
    launcher = kubernetes.launched(source)

    def let_time_pass() -> None:
        kubernetes.cluster.store.change(
            ("jobs", NAMESPACE, NAME),
            lambda job: job["spec"].update(activeDeadlineSeconds=1),
        )

    assert meanwhile_seen(launcher, let_time_pass).reason is Reason.TIMED_OUT


def test_a_memory_limit_is_told_from_another_kill(
    kubernetes: KubernetesBench,
) -> None:
    launcher = kubernetes.launcher()
    limits = Limits(memory_bytes=64 * 2**20)
    launcher.launch(kubernetes.spec(programs.EAT_MEMORY, limits=limits))

    assert outcome(launcher).reason is Reason.OUT_OF_MEMORY


# The Job itself


@pytest.mark.parametrize("policy", ["Background", "Foreground", None])
def test_a_job_that_somebody_deletes_is_lost_and_nothing_runs_on(
    kubernetes: KubernetesBench, policy: str | None
) -> None:
    """Without a policy the API orphans the pod of a Job."""
    lock = kubernetes.folder / "lock"
    launcher = kubernetes.launched(programs.holds(lock))
    options: Json = {"propagationPolicy": policy} if policy else {}

    kubernetes.cluster.client().delete(
        "/apis/batch/v1/namespaces/{namespace}/jobs", NAME, options
    )
    status = launcher.wait(ATTEMPT, timedelta(seconds=20))

    assert status == Absent()
    assert not programs.is_held(lock)
    launcher.clean_up(ATTEMPT)
    programs.until(lambda: kubernetes.cluster.names("pods") == [])
    assert launcher.all_attempts() == []


def test_a_short_one_need_not_be_seen_running(
    kubernetes: KubernetesBench,
) -> None:
    """Its pod goes from Pending to its end in one step."""
    launcher = kubernetes.launcher()
    launcher.launch(kubernetes.spec("import sys; sys.exit(65)"))

    assert outcome(launcher).reason is Reason.BAD_DATA


def test_a_lost_node_that_returns_does_not_change_the_word(
    kubernetes: KubernetesBench,
) -> None:
    lock = kubernetes.folder / "lock"
    launcher = kubernetes.launched(programs.holds(lock))
    first = meanwhile_seen(
        launcher, lambda: kubernetes.cluster.lose_node(NAME)
    )
    assert first.reason is Reason.NODE_LOST
    # A further attempt may begin: the cluster has given the machine up.
    launcher.clean_up(ATTEMPT)
    assert launcher.status(ATTEMPT) == Absent()

    kubernetes.cluster.node.is_lost = False

    programs.until(lambda: not programs.is_held(lock))
    programs.until(lambda: kubernetes.cluster.names("jobs") == [])
    assert kubernetes.cluster.names("pods") == []


def test_a_pending_pod_is_no_lost_one() -> None:
    """It has no machine that could be lost."""
    pod: Json = {
        "metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"},
        "spec": {},
        "status": {"phase": "Pending"},
    }
    now = kubernetes_objects.time_of("2026-01-01T00:00:00Z")
    assert now
    assert not kubernetes_objects.is_lost(pod, now)


def test_a_verdict_that_a_killed_worker_wrote_is_carried_out(
    kubernetes: KubernetesBench,
) -> None:
    """It had begun to stop the attempt, and had done no more than say so."""
    launcher = kubernetes.launched()
    stopped = Outcome(Reason.STOPPED)
    kubernetes.cluster.store.change(
        ("jobs", NAMESPACE, NAME),
        lambda job: job["metadata"]["annotations"].update(
            {"moderate/verdict": kubernetes_objects.to_verdict(stopped)}
        ),
    )
    assert isinstance(launcher.status(ATTEMPT), Running)

    assert outcome(launcher).reason is Reason.STOPPED


def test_what_a_cluster_says_never_reaches_the_user(
    kubernetes: KubernetesBench,
) -> None:
    """Names of machines, volumes and accounts are for who runs it."""
    refuse(f"{SECURITY} on node-7.internal")(kubernetes.cluster)
    launcher = kubernetes.launcher()
    launcher.launch(kubernetes.spec())

    told = summarise(outcome(launcher))

    assert not re.search(r"node-7|violates|runAs", told)


def test_an_outcome_is_read_the_same_by_all(
    kubernetes: KubernetesBench,
) -> None:
    launcher = kubernetes.launcher()
    launcher.launch(kubernetes.spec("import sys; sys.exit(3)"))
    seen = Finished(outcome(launcher))

    assert [kubernetes.launcher().status(ATTEMPT) for _ in range(3)] == (
        [seen] * 3
    )
