"""What Jobs and pods say of themselves, and what one attempt has of them.

Pure, and without a judgement: what it means for the attempt is found out in
``kubernetes_outcome`` and ``kubernetes_causes``.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from moderate.analyses.kubernetes_api import Json
from moderate.analyses.kubernetes_spec import CONTAINER, VERDICT
from moderate.analyses.outcomes import Outcome, Reason

LOST_AFTER = timedelta(seconds=5)
"""How long past its grace a pod may be there before its machine is lost."""

OVER = frozenset({"Succeeded", "Failed"})
"""The phases of a pod none of whose containers runs any more."""


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
        detail = str(stored["detail"])
        return Outcome(Reason(stored["reason"]), detail=detail)
    except (KeyError, RecursionError, TypeError, ValueError):
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


def time_of_event(event: Json) -> str:
    """Return when an event was seen last, as the API writes it."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def newest(pods: Sequence[Json]) -> Json | None:
    """Return the pod that was made last."""
    return max(
        pods,
        key=lambda pod: pod["metadata"].get("creationTimestamp", ""),
        default=None,
    )
