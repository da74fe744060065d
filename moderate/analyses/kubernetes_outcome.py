"""How an attempt stands, read from its Job, its pods and its events.

Pure: objects in, a ``Standing`` out. Written against Kubernetes 1.34, whose
ways are easy to miss:

- A Job whose pod a namespace rejects (service account, Pod Security, quota)
  has no pod and no condition: there are ``FailedCreate`` events only.
- A pod whose Secret is missing stays Pending for ever.
- A Job is Failed only after FailureTarget, once its pod is gone; on a lost
  machine that is not before the machine returns.
- A pod that exits with 0 when told to end is Succeeded in a Job that failed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from moderate.analyses.kubernetes_api import Json
from moderate.analyses.kubernetes_causes import (
    Patience,
    Stuck,
    why_failed,
    why_no_pod,
    why_pending,
)
from moderate.analyses.kubernetes_errors import taken_apart
from moderate.analyses.kubernetes_objects import (
    OVER,
    Facts,
    condition,
    container_of,
    has_begun,
    is_going,
    is_over,
    is_suspended,
    labels,
    newest,
    time_of,
    verdict_of,
)
from moderate.analyses.kubernetes_spec import PUT_AWAY
from moderate.analyses.launcher import (
    Absent,
    Finished,
    Pending,
    Running,
    Status,
)
from moderate.analyses.outcomes import Outcome, Reason


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
    """Say how an attempt stands.

    Raises:
        TemporaryError: The facts are not made as a cluster's are.
    """
    with taken_apart():
        return _standing(facts)


def _standing(facts: Facts) -> Standing:
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
        return Standing(Finished(why_failed(facts, job, failed)))
    return Standing(Finished(Outcome(Reason.SUCCEEDED, exit_code=0)))


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
        stuck = why_pending(pod, facts.events)
    else:
        stuck = why_no_pod(facts.events())
    return Standing(Pending(stuck.said or stuck.outcome.detail), stuck)
