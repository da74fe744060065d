"""How an attempt stands, read from its Job, its pods and its events.

Pure: objects in, a ``Standing`` out. What a cluster says is turned into a
``Reason`` here and nowhere else; what the reason means stands in
``moderate.analyses.outcomes``. Written against Kubernetes 1.34, whose ways
are easy to miss:

- A Job whose pod a namespace rejects (service account, Pod Security, quota)
  has no pod and no condition: there are ``FailedCreate`` events only.
- A pod whose Secret is missing stays Pending for ever.
- A Job is Failed only after FailureTarget, once its pod is gone; on a lost
  machine that is not before the machine returns.
- A pod that exits with 0 when told to end is Succeeded in a Job that failed.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from moderate.analyses.kubernetes_api import Json
from moderate.analyses.kubernetes_spec import CONTAINER, PUT_AWAY, VERDICT
from moderate.analyses.launcher import (
    Absent,
    Finished,
    Pending,
    Running,
    Status,
)
from moderate.analyses.outcomes import (
    Outcome,
    Reason,
    last_line,
    outcome_of_exit,
)

LOST_AFTER = timedelta(seconds=5)
"""How long past its grace a pod may be there before its machine is lost."""

OVER = frozenset({"Succeeded", "Failed"})
"""The phases of a pod none of whose containers runs any more."""


class Patience(StrEnum):
    """How long something that keeps an attempt from beginning may last."""

    NONE = "none"
    START = "start"
    PENDING = "pending"


@dataclass(frozen=True)
class Stuck:
    """Something keeps an attempt from beginning.

    Attributes:
        outcome: How it ends if that lasts.
        patience: How long it may.
        said: The cluster's own words, for the people who run it.
    """

    outcome: Outcome
    patience: Patience
    said: str = ""


@dataclass(frozen=True)
class Facts:
    """What the cluster has of one attempt.

    Attributes:
        job: Its Job, if there is one.
        pods: Its pods, those too whose Job is gone.
        events: Reads the events of its Job and pods, the oldest first; they
            are looked at only where nothing else says what happened.
        log_tail: Reads the end of its log.
        now: The time (UTC).
    """

    job: Json | None
    pods: Sequence[Json]
    events: Callable[[], Sequence[Json]]
    log_tail: Callable[[], bytes]
    now: datetime


@dataclass(frozen=True)
class Standing:
    """How an attempt stands.

    Attributes:
        status: What the Launcher protocol says of it.
        stuck: What keeps it from beginning, if anything does.
    """

    status: Status
    stuck: Stuck | None = None


def standing(facts: Facts) -> Standing:
    """Say how an attempt stands."""
    job = facts.job
    live = [pod for pod in facts.pods if not is_over(pod, facts.now)]
    if job is None or is_going(job):
        return Standing(_ending(live) if live else Absent())
    if PUT_AWAY in labels(job) or (is_suspended(job) and not live):
        return Standing(Absent())
    succeeded = condition(job, "Complete", "SuccessCriteriaMet")
    failed = condition(job, "Failed", "FailureTarget")
    if not succeeded and not failed:
        return _under_way(facts, job)
    if live:
        return Standing(_ending(live))
    if failed:
        return Standing(Finished(_why(facts, job, failed)))
    return Standing(Finished(Outcome(Reason.SUCCEEDED, exit_code=0)))


def is_suspended(job: Json) -> bool:
    """Say whether a Job is prepared and not launched."""
    return bool(job["spec"].get("suspend"))


def is_going(thing: Json) -> bool:
    """Say whether somebody asked for an object's removal."""
    return bool(thing["metadata"].get("deletionTimestamp"))


def is_over(pod: Json, now: datetime) -> bool:
    """Say whether nothing of a pod runs, or its machine was given up.

    What a lost machine still runs is harmless: its own kubelet ends it when
    its time has passed, and what it writes is under its attempt's own name.
    """
    return pod["status"].get("phase") in OVER or is_lost(pod, now)


def is_lost(pod: Json, now: datetime) -> bool:
    """Say whether a pod that was to end is on a machine that is silent."""
    if pod["status"].get("phase") in OVER:
        return False
    until = time_of(pod["metadata"].get("deletionTimestamp"))
    has_machine = bool(pod["spec"].get("nodeName"))
    return has_machine and until is not None and now > until + LOST_AFTER


def condition(thing: Json, *types: str) -> Json | None:
    """Return the first condition of these types that holds."""
    found = thing.get("status", {}).get("conditions") or []
    return next(
        (c for c in found if c["type"] in types and c["status"] == "True"),
        None,
    )


def labels(thing: Json) -> Mapping[str, str]:
    """Return an object's labels."""
    return thing["metadata"].get("labels") or {}


def to_verdict(outcome: Outcome) -> str:
    """Write an outcome as the annotation that keeps it."""
    return json.dumps({"reason": outcome.reason, "detail": outcome.detail})


def verdict_of(job: Json) -> Outcome | None:
    """Return the outcome that was written on a Job before we ended it."""
    text = (job["metadata"].get("annotations") or {}).get(VERDICT)
    if not text:
        return None
    try:
        stored = json.loads(text)
        return Outcome(Reason(stored["reason"]), detail=stored["detail"])
    except (ValueError, KeyError, TypeError):
        return Outcome(Reason.STOPPED)  # somebody else wrote there


def container_of(pod: Json) -> Json:
    """Return the state of the analysis' container: one of three, or none."""
    statuses = pod["status"].get("containerStatuses") or []
    mine = (each for each in statuses if each["name"] == CONTAINER)
    return dict(dict(next(mine, {})).get("state") or {})


def has_begun(pod: Json) -> bool:
    """Say whether the analysis' container was started: it has a log."""
    return bool(container_of(pod).keys() & {"running", "terminated"})


def time_of(text: str | None) -> datetime | None:
    """Read a time as the API writes it."""
    if not text:
        return None
    return datetime.fromisoformat(text)


def newest(pods: Sequence[Json]) -> Json | None:
    """Return the pod that was made last."""
    return max(
        pods,
        key=lambda pod: pod["metadata"].get("creationTimestamp", ""),
        default=None,
    )


def _ending(live: Sequence[Json]) -> Status:
    begun = [pod for pod in live if has_begun(pod)]
    if not begun:
        return Pending("it is being removed")
    return Running(_since(begun[0]))


def _since(pod: Json) -> datetime:
    state = container_of(pod)
    begun = state.get("running") or state.get("terminated") or {}
    return (
        time_of(begun.get("startedAt"))
        or time_of(pod["status"].get("startTime"))
        or datetime.min.replace(tzinfo=UTC)
    )


def _under_way(facts: Facts, job: Json) -> Standing:
    """Say how a Job stands that the cluster has no last word on yet."""
    pod = newest(facts.pods)
    # Somebody who was ending it may have been killed over that.
    verdict = verdict_of(job)
    ended = Stuck(verdict, Patience.NONE) if verdict else None
    if pod and (has_begun(pod) or pod["status"].get("phase") in OVER):
        return Standing(Running(_since(pod)), ended)
    if ended:
        return Standing(Pending("it is being ended"), ended)
    if pod:
        stuck = _why_pending(pod, facts.events)
    else:
        stuck = _why_no_pod(facts.events())
    return Standing(Pending(stuck.said or stuck.outcome.detail), stuck)


# Why there is no pod: what the admission of a namespace says.

_REFUSALS: Sequence[tuple[re.Pattern[str], Reason, Patience, str]] = (
    (
        re.compile(r"exceeded quota"),
        Reason.NO_CAPACITY,
        Patience.PENDING,
        "the namespace's quota is used up",
    ),
    (
        re.compile(r"violates PodSecurity"),
        Reason.BAD_CONFIGURATION,
        Patience.START,
        "the namespace's rules forbid it",
    ),
    (
        re.compile(r"service ?account", re.IGNORECASE),
        Reason.BAD_CONFIGURATION,
        Patience.START,
        "its service account is missing",
    ),
    (
        re.compile(r"is forbidden|is invalid|denied the request"),
        Reason.BAD_CONFIGURATION,
        Patience.START,
        "the cluster refused it",
    ),
)

_NO_ROOM = Outcome(Reason.NO_CAPACITY)


def _why_no_pod(events: Sequence[Json]) -> Stuck:
    said = _last(events, "FailedCreate")
    for pattern, reason, patience, detail in _REFUSALS:
        if pattern.search(said):
            return Stuck(Outcome(reason, detail=detail), patience, said)
    return Stuck(_NO_ROOM, Patience.PENDING, said or "it waits for its pod")


# Why a pod does not begin: what its container waits for.

_WAITING: Mapping[str, tuple[Reason, Patience, str]] = {
    "ErrImagePull": (Reason.NO_IMAGE, Patience.START, ""),
    "ImagePullBackOff": (Reason.NO_IMAGE, Patience.START, ""),
    "ImageInspectError": (Reason.NO_IMAGE, Patience.START, ""),
    "RegistryUnavailable": (Reason.NO_IMAGE, Patience.START, ""),
    "SignatureValidationFailed": (
        Reason.COULD_NOT_START,
        Patience.NONE,
        "its image's signature is wrong",
    ),
    "InvalidImageName": (
        Reason.COULD_NOT_START,
        Patience.NONE,
        "its image's name is wrong",
    ),
    "ErrImageNeverPull": (
        Reason.COULD_NOT_START,
        Patience.NONE,
        "its image is not there",
    ),
    "CreateContainerConfigError": (
        Reason.BAD_CONFIGURATION,
        Patience.START,
        "a Secret or ConfigMap that it needs is missing",
    ),
    "CreateContainerError": (
        Reason.COULD_NOT_START,
        Patience.START,
        "its container can't be made",
    ),
    "RunContainerError": (
        Reason.COULD_NOT_START,
        Patience.START,
        "its container can't be run",
    ),
}


def _why_pending(pod: Json, events: Callable[[], Sequence[Json]]) -> Stuck:
    waiting = container_of(pod).get("waiting") or {}
    known = _WAITING.get(waiting.get("reason", ""))
    if known:
        reason, patience, detail = known
        said = f"{waiting['reason']}: {waiting.get('message', '')}"
        return Stuck(Outcome(reason, detail=detail), patience, said)
    placed = _false_condition(pod, "PodScheduled")
    if placed:
        said = f"{placed.get('reason')}: {placed.get('message', '')}"
        return Stuck(_NO_ROOM, Patience.PENDING, said)
    mount = _last(events(), "FailedMount")
    if mount:
        outcome = Outcome(
            Reason.BAD_CONFIGURATION, detail="a volume of it can't be mounted"
        )
        return Stuck(outcome, Patience.START, mount)
    return Stuck(_NO_ROOM, Patience.PENDING, waiting.get("reason", ""))


def _false_condition(pod: Json, kind: str) -> Json | None:
    found = pod["status"].get("conditions") or []
    return next(
        (c for c in found if c["type"] == kind and c["status"] == "False"),
        None,
    )


def _last(events: Sequence[Json], *reasons: str) -> str:
    """Return what the last event of such a reason says."""
    said = [e.get("message") or "" for e in events if e["reason"] in reasons]
    return said[-1] if said else ""


# Why it failed.

_LEFT = frozenset(
    {
        "DeletionByTaintManager",
        "EvictionByEvictionAPI",
        "PreemptionByScheduler",
        "TerminationByKubelet",
    }
)
"""Reasons of the condition DisruptionTarget of a pod that had to leave."""

_POD_REASONS: Mapping[str | None, Reason] = {
    "DeadlineExceeded": Reason.TIMED_OUT,
    "NodeLost": Reason.NODE_LOST,
    "DeletionByPodGC": Reason.NODE_LOST,
}

_LEFT_EVENTS = (
    "Evicted",
    "Preempted",
    "Preempting",
    "TaintManagerEviction",
    "NodeShutdown",
)
_NOT_ADMITTED = re.compile(
    r"^(OutOf\w+|NodeAffinity|NodePorts|UnexpectedAdmissionError|Preempting"
    r"|Pod\w+NotSupported|NodeShutdown)$"
)
_TOO_MUCH_DISK = re.compile(r"exceed(s|ed) (the|its) |exceeds the total limit")


def _why(facts: Facts, job: Json, failed: Json) -> Outcome:
    verdict = verdict_of(job)
    if verdict:
        return verdict
    if failed.get("reason") == "DeadlineExceeded":
        return Outcome(Reason.TIMED_OUT)
    pod = newest(facts.pods)
    if pod is None:
        return _why_gone(facts.events())
    if is_lost(pod, facts.now):
        return Outcome(Reason.NODE_LOST)
    return _why_pod_failed(pod) or _why_ended(pod, facts.log_tail)


def _why_gone(events: Sequence[Json]) -> Outcome:
    """Explain a pod of which nothing but events is left."""
    if any(event["reason"] in _LEFT_EVENTS for event in events):
        return Outcome(Reason.EVICTED)
    return Outcome(Reason.REMOVED)


def _why_pod_failed(pod: Json) -> Outcome | None:
    """Explain a pod that did not end by itself."""
    status = pod["status"]
    reason = status.get("reason") or ""
    disrupted = (condition(pod, "DisruptionTarget") or {}).get("reason")
    plain = _POD_REASONS.get(reason) or _POD_REASONS.get(disrupted)
    if plain:
        return Outcome(plain)
    if reason == "Evicted" or disrupted in _LEFT:
        said = status.get("message") or ""
        too_much = reason == "Evicted" and _TOO_MUCH_DISK.search(said)
        return Outcome(Reason.OUT_OF_DISK if too_much else Reason.EVICTED)
    if _NOT_ADMITTED.match(reason) and not has_begun(pod):
        return Outcome(Reason.NO_CAPACITY)
    return Outcome(Reason.REMOVED) if _was_removed(pod) else None


def _was_removed(pod: Json) -> bool:
    """Say whether a pod was still at work when its removal was asked for."""
    until = time_of(pod["metadata"].get("deletionTimestamp"))
    if until is None:
        return False
    grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
    ended: dict[str, Any] = container_of(pod).get("terminated") or {}
    finished = time_of(ended.get("finishedAt"))
    return finished is None or finished >= until - timedelta(seconds=grace)


def _why_ended(pod: Json, log_tail: Callable[[], bytes]) -> Outcome:
    """Explain a container that ended, by its exit."""
    ended = container_of(pod).get("terminated")
    if not ended:
        return Outcome(Reason.LOST, detail="its pod failed without a word")
    said = (ended.get("message") or "").strip()
    match ended.get("reason"):
        case "OOMKilled":
            return Outcome(Reason.OUT_OF_MEMORY, ended["exitCode"])
        case "StartError" | "ContainerCannotRun":
            detail = last_line(said.encode())
            return Outcome(Reason.COULD_NOT_START, detail=detail)
        case "ContainerStatusUnknown":
            return Outcome(Reason.NODE_LOST)
    return outcome_of_exit(ended["exitCode"], log_tail())
