"""Why an attempt does not begin, and why it failed.

What a cluster says is turned into a ``Reason`` here and nowhere else; what
the reason means stands in ``moderate.analyses.outcomes``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from moderate.analyses.kubernetes_api import Json
from moderate.analyses.kubernetes_objects import (
    Facts,
    condition,
    container_of,
    has_begun,
    is_lost,
    newest,
    time_of,
    time_of_event,
    verdict_of,
)
from moderate.analyses.outcomes import (
    Outcome,
    Reason,
    last_line,
    outcome_of_exit,
)


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
        # Not the word alone: messages name accounts that ask, too.
        re.compile(r"looking up service account|serviceaccount .+ not found"),
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


def why_no_pod(events: Sequence[Json]) -> Stuck:
    """Say what keeps a Job from having a pod."""
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


def why_pending(pod: Json, events: Callable[[], Sequence[Json]]) -> Stuck:
    """Say what keeps a pod from beginning."""
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
    mount = _failed_mount(events())
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


_PAST_MOUNTING = frozenset(
    {"FailedCreatePodSandBox", "Pulling", "Pulled", "Created", "Started"}
)
"""What a kubelet comes to only when all volumes are mounted."""


def _failed_mount(events: Sequence[Json]) -> str:
    """Return why a volume can't be mounted, unless it was since."""
    failed = [e for e in events if e["reason"] == "FailedMount"]
    if not failed:
        return ""
    since = time_of_event(failed[-1])
    is_past = any(
        e["reason"] in _PAST_MOUNTING and time_of_event(e) >= since
        for e in events
    )
    return "" if is_past else _last(failed, "FailedMount")


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


def why_failed(facts: Facts, job: Json, failed: Json) -> Outcome:
    """Say why a Job failed whose condition ``failed`` tells of it."""
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
