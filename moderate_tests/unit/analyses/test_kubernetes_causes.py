"""Every row of the table in docs/analyses.md, from objects as they come.

What the cluster of the tests can act out is in ``test_kubernetes_outcomes``
and the launchers' contract; here is also what only a real one does.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from moderate.analyses.kubernetes_causes import Patience
from moderate.analyses.kubernetes_objects import Facts
from moderate.analyses.kubernetes_outcome import Standing, standing
from moderate.analyses.launcher import Absent, Finished, Pending, Running
from moderate.analyses.outcomes import Reason
from moderate_tests.kubernetes.store import Json

BEGUN = "2026-01-01T00:00:00Z"
ENDED = "2026-01-01T00:01:00Z"
NOW = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
SINCE_30 = (SINCE + timedelta(seconds=30)).isoformat()
FULL = "0/3 nodes are available: 3 Insufficient memory."


def condition(kind: str, reason: str = "", status: str = "True") -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": FULL}


FAILED = condition("Failed", "BackoffLimitExceeded")
FAILING = condition("FailureTarget", "BackoffLimitExceeded")
LATE = condition("Failed", "DeadlineExceeded")


def job_of(*conditions: Json, **spec: object) -> Json:
    return {
        "metadata": {"name": "fault-1-d1"},
        "spec": spec,
        "status": {"conditions": list(conditions)},
    }


def ended(code: int = 1, reason: str = "Error", message: str = "") -> Json:
    times = {"startedAt": BEGUN, "finishedAt": ENDED}
    told = {"exitCode": code, "reason": reason, "message": message}
    return {"terminated": {**times, **told}}


def pod_of(
    phase: str,
    state: Json | None = None,
    *conditions: Json,
    deleted: str = "",
    **status: str,
) -> Json:
    statuses = [{"name": "analysis", "state": state}] if state else []
    gone = {"deletionTimestamp": deleted, "deletionGracePeriodSeconds": 30}
    return {
        "metadata": {"creationTimestamp": BEGUN, **(gone if deleted else {})},
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": phase,
            "containerStatuses": statuses,
            "conditions": list(conditions),
            **status,
        },
    }


def event(reason: str, message: str) -> Json:
    return {"reason": reason, "message": message}


def read(
    job: Json | None,
    *pods: Json,
    events: Sequence[Json] = (),
    log: bytes = b"",
) -> Standing:
    return standing(Facts(job, pods, lambda: events, lambda: log, NOW))


def reason_of(job: Json, *pods: Json, **more: Sequence[Json]) -> Reason:
    status = read(job, *pods, **more).status  # type: ignore[arg-type]
    assert isinstance(status, Finished), status
    return status.outcome.reason


# How it failed

FAILED_PODS = {
    "out of memory": (
        pod_of("Failed", ended(137, "OOMKilled")),
        Reason.OUT_OF_MEMORY,
    ),
    "exit code of bad data": (pod_of("Failed", ended(65)), Reason.BAD_DATA),
    "exit code of its own": (pod_of("Failed", ended(3)), Reason.EXIT_CODE),
    "killed": (pod_of("Failed", ended(137)), Reason.KILLED),
    "evicted, out of memory on the node": (
        pod_of(
            "Failed",
            ended(137),
            reason="Evicted",
            message="The node was low on resource: memory.",
        ),
        Reason.EVICTED,
    ),
    "evicted, too much in a volume": (
        pod_of(
            "Failed",
            reason="Evicted",
            message='Usage of EmptyDir volume "scratch" exceeds the limit.',
        ),
        Reason.OUT_OF_DISK,
    ),
    "evicted, too much of the node's disk": (
        pod_of(
            "Failed",
            reason="Evicted",
            message="Pod ephemeral local storage usage exceeds the total"
            " limit of containers 2Gi.",
        ),
        Reason.OUT_OF_DISK,
    ),
    "past its deadline": (
        pod_of("Failed", ended(0), reason="DeadlineExceeded"),
        Reason.TIMED_OUT,
    ),
    "node gone": (
        pod_of(
            "Failed", None, condition("DisruptionTarget", "DeletionByPodGC")
        ),
        Reason.NODE_LOST,
    ),
    "node lost": (pod_of("Failed", reason="NodeLost"), Reason.NODE_LOST),
    "node back, and knows nothing of it": (
        pod_of("Failed", ended(137, "ContainerStatusUnknown")),
        Reason.NODE_LOST,
    ),
    "not admitted, no processor left": (
        pod_of("Failed", reason="OutOfcpu"),
        Reason.NO_CAPACITY,
    ),
    "not admitted, the node shuts down": (
        pod_of("Failed", reason="NodeShutdown"),
        Reason.NO_CAPACITY,
    ),
    "not admitted, another node by now": (
        pod_of("Failed", reason="NodeAffinity"),
        Reason.NO_CAPACITY,
    ),
    "program not there": (
        pod_of("Failed", ended(128, "StartError", "exec: not found")),
        Reason.COULD_NOT_START,
    ),
    "container not runnable": (
        pod_of("Failed", ended(127, "ContainerCannotRun", "no such file")),
        Reason.COULD_NOT_START,
    ),
    "deleted while it ran": (
        pod_of("Failed", ended(143), deleted="2026-01-01T00:01:29Z"),
        Reason.REMOVED,
    ),
    "deleted after it had ended": (
        pod_of("Failed", ended(65), deleted="2026-01-01T00:09:00Z"),
        Reason.BAD_DATA,
    ),
    "failed without a word": (pod_of("Failed"), Reason.LOST),
} | {
    f"has to leave: {reason}": (
        pod_of("Failed", ended(143), condition("DisruptionTarget", reason)),
        Reason.EVICTED,
    )
    for reason in (
        "DeletionByTaintManager",
        "EvictionByEvictionAPI",
        "PreemptionByScheduler",
        "TerminationByKubelet",
    )
}


@pytest.mark.parametrize("what", FAILED_PODS)
def test_a_failed_pod_says_why(what: str) -> None:
    pod, reason = FAILED_PODS[what]

    assert reason_of(job_of(FAILED), pod) is reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Evicted", Reason.EVICTED),
        ("Preempted", Reason.EVICTED),
        ("TaintManagerEviction", Reason.EVICTED),
        ("Killing", Reason.REMOVED),
    ],
)
def test_of_a_pod_that_is_gone_its_events_say_why(
    said: str, reason: Reason
) -> None:
    assert reason_of(job_of(FAILED), events=[event(said, "")]) is reason


def test_a_pod_that_calls_the_deadline_a_success_did_not_succeed() -> None:
    """It ended with 0 on SIGTERM, and its Job failed."""
    pod = pod_of("Succeeded", ended(0, "Completed"))

    assert reason_of(job_of(LATE), pod) is Reason.TIMED_OUT


def test_a_job_is_over_only_when_its_pod_is() -> None:
    """FailureTarget comes while the pod is still being ended."""
    running = pod_of("Running", {"running": {"startedAt": BEGUN}})
    failing = job_of(FAILING)

    assert read(failing, running).status == Running(SINCE)
    assert isinstance(read(failing, pod_of("Pending")).status, Pending)
    over = pod_of("Failed", ended(65))
    assert reason_of(failing, over) is Reason.BAD_DATA


def test_a_silent_nodes_job_ends_although_it_is_never_failed() -> None:
    """Its pod can't go before the node returns: FailureTarget is all."""
    lost = pod_of(
        "Running",
        {"running": {"startedAt": BEGUN}},
        condition("DisruptionTarget", "DeletionByTaintManager"),
        deleted="2026-01-01T00:05:00Z",
    )

    assert reason_of(job_of(FAILING), lost) is Reason.NODE_LOST


def test_a_success_is_told_before_the_job_is_complete() -> None:
    pod = pod_of("Succeeded", ended(0, "Completed"))

    met = job_of(condition("SuccessCriteriaMet", "CompletionsReached"))

    assert reason_of(met, pod) is Reason.SUCCEEDED


def test_pods_whose_job_is_gone_are_waited_for() -> None:
    running = pod_of("Running", {"running": {"startedAt": BEGUN}})

    assert isinstance(read(None, running).status, Running)
    assert read(None, pod_of("Failed", ended())).status == Absent()


# Why it does not begin

FORBIDDEN = 'Error creating: pods "fault-1-d1-" is forbidden: '
QUOTA = "exceeded quota: compute, requested: memory=4Gi, used: memory=8Gi"
ACCOUNT = (
    "error looking up service account analyses/absent: serviceaccount"
    ' "absent" not found'
)
SECURITY = 'violates PodSecurity "restricted:v1.34": runAsNonRoot != true'
LIMIT = "maximum memory usage per Container is 1Gi, but limit is 4Gi"
WEBHOOK = (
    'Error creating: admission webhook "a.b" denied the request of'
    " system:serviceaccount:kube-system:job-controller"
)
SET_UP = (Reason.BAD_CONFIGURATION, Patience.START)
NO_ROOM = (Reason.NO_CAPACITY, Patience.PENDING)
NO_POD = {
    FORBIDDEN + QUOTA: (*NO_ROOM, "the namespace's quota is used up"),
    FORBIDDEN + ACCOUNT: (*SET_UP, "its service account is missing"),
    FORBIDDEN + SECURITY: (*SET_UP, "the namespace's rules forbid it"),
    FORBIDDEN + LIMIT: (*SET_UP, "the cluster refused it"),
    WEBHOOK: (*SET_UP, "the cluster refused it"),
    "Error creating: Timeout": (*NO_ROOM, ""),
}


@pytest.mark.parametrize("said", NO_POD)
def test_where_there_is_no_pod_the_events_of_the_job_say_why(
    said: str,
) -> None:
    """The Job was accepted (201), and has no condition."""
    stuck = read(job_of(), events=[event("FailedCreate", said)]).stuck

    assert stuck
    outcome = stuck.outcome
    found = (outcome.reason, stuck.patience, outcome.detail)
    assert found == NO_POD[said]
    assert stuck.said == said


WAITING = {
    "ErrImagePull": (Reason.NO_IMAGE, Patience.START),
    "ImagePullBackOff": (Reason.NO_IMAGE, Patience.START),
    "ImageInspectError": (Reason.NO_IMAGE, Patience.START),
    "RegistryUnavailable": (Reason.NO_IMAGE, Patience.START),
    "SignatureValidationFailed": (Reason.COULD_NOT_START, Patience.NONE),
    "InvalidImageName": (Reason.COULD_NOT_START, Patience.NONE),
    "ErrImageNeverPull": (Reason.COULD_NOT_START, Patience.NONE),
    "CreateContainerConfigError": (Reason.BAD_CONFIGURATION, Patience.START),
    "CreateContainerError": (Reason.COULD_NOT_START, Patience.START),
    "RunContainerError": (Reason.COULD_NOT_START, Patience.START),
    "ContainerCreating": (Reason.NO_CAPACITY, Patience.PENDING),
}


@pytest.mark.parametrize("said", WAITING)
def test_what_a_container_waits_for_is_told_apart(said: str) -> None:
    waiting = {"waiting": {"reason": said, "message": "as it is"}}

    found = read(job_of(), pod_of("Pending", waiting))

    assert isinstance(found.status, Pending)
    assert said in found.status.reason
    assert found.stuck
    assert (found.stuck.outcome.reason, found.stuck.patience) == WAITING[said]


def test_a_secret_that_can_not_be_mounted_is_told_by_events_alone() -> None:
    """Its container says ``ContainerCreating`` for ever."""
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    said = 'MountVolume.SetUp failed for volume "s3": secret "s3" not found'
    events = [event("Scheduled", ""), event("FailedMount", said)]

    stuck = read(job_of(), pod_of("Pending", waiting), events=events).stuck

    assert stuck
    assert stuck.outcome.reason is Reason.BAD_CONFIGURATION
    assert (stuck.patience, stuck.said) == (Patience.START, said)


@pytest.mark.parametrize(
    ("said", "seconds", "what"),
    [
        ("Pulling", 5, NO_ROOM),
        ("FailedCreatePodSandBox", 0, NO_ROOM),
        ("Scheduled", 5, SET_UP),
        ("Pulled", -5, SET_UP),
    ],
)
def test_a_mount_that_has_succeeded_since_keeps_nothing_from_beginning(
    said: str, seconds: int, what: tuple[Reason, Patience]
) -> None:
    """Events stay for an hour: a large image may be pulled meanwhile."""
    at = (SINCE + timedelta(seconds=30 + seconds)).isoformat()
    events = [
        {**event("FailedMount", "timed out"), "lastTimestamp": SINCE_30},
        {**event(said, ""), "lastTimestamp": at},
    ]
    waiting = {"waiting": {"reason": "ContainerCreating"}}

    stuck = read(job_of(), pod_of("Pending", waiting), events=events).stuck

    assert stuck
    assert (stuck.outcome.reason, stuck.patience) == what


def test_what_finds_no_room_may_wait_for_long() -> None:
    placed = condition("PodScheduled", "Unschedulable", "False")

    stuck = read(job_of(), pod_of("Pending", None, placed)).stuck

    assert stuck
    assert stuck.outcome.reason is Reason.NO_CAPACITY
    assert stuck.patience is Patience.PENDING
    assert FULL in stuck.said


def test_what_has_begun_is_not_stuck() -> None:
    """Its time is bounded by its deadline, not by patience."""
    running = pod_of("Running", {"running": {"startedAt": BEGUN}})

    found = read(job_of(), running, events=[event("FailedMount", "")])

    assert (found.status, found.stuck) == (Running(SINCE), None)


def test_a_lost_nodes_pod_is_given_a_moment_past_its_grace() -> None:
    """A busy kubelet needs one too."""
    just_now = (NOW - timedelta(seconds=4)).isoformat()
    running = {"running": {"startedAt": BEGUN}}

    ending = pod_of("Running", running, deleted=just_now)

    assert isinstance(read(job_of(FAILING), ending).status, Running)
