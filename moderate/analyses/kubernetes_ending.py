"""How an attempt is ended and put away, so that nothing is lost by it."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from moderate.analyses import kubernetes_objects as reading
from moderate.analyses import kubernetes_spec as spec_of
from moderate.analyses.kubernetes_api import (
    BACKGROUND,
    JOBS,
    PODS,
    SECRETS,
    Cluster,
    Json,
)
from moderate.analyses.kubernetes_errors import ConflictError
from moderate.analyses.outcomes import Outcome, Reason


@dataclass(frozen=True)
class Ending:
    """Ends Jobs and removes them.

    Args:
        cluster: Where they are.
    """

    cluster: Cluster

    def end(
        self, job: Json, pods: list[Json], why: Outcome, *, is_late: bool
    ) -> None:
        """Have an attempt ended, so that the pod and its log stay.

        Args:
            job: Its Job as it was just read; if it was changed meanwhile,
                nothing happens.
            pods: Its pods.
            why: Its outcome, should it have none of its own. It is written
                first, so every worker reads the same one.
            is_late: Whether the cluster is to end what the kubelet did not;
                that removes the pod.
        """
        with suppress(ConflictError):
            if reading.verdict_of(job) is None:
                verdict = {spec_of.VERDICT: reading.to_verdict(why)}
                change = {"metadata": {**as_read(job), "annotations": verdict}}
                self.cluster.patch(JOBS, _name(job), change)
            begun = [pod for pod in pods if reading.has_begun(pod)]
            for pod in begun:
                self._let_time_pass(PODS, pod)
            if is_late or not begun:
                self._let_time_pass(JOBS, job)

    def remove_unbegun(self, job: Json) -> bool:
        """Remove a Job that never began, so that it never will.

        Returns:
            Whether that is certain; else it was changed just now, perhaps
            set going.
        """
        if reading.is_going(job) or spec_of.PUT_AWAY in reading.labels(job):
            return True
        try:
            self.delete(job)
        except ConflictError:
            return False
        return True

    def delete(self, job: Json) -> None:
        """Delete a Job with its pods.

        Raises:
            ConflictError: It was changed since it was read.
        """
        options = {**BACKGROUND, "preconditions": as_read(job)}
        self.cluster.delete(JOBS, _name(job), options)

    def put_away(self, job: Json, ttl: timedelta) -> None:
        """Let the cluster remove a Job whose log and outcome are stored.

        Its Secret goes at once, and so does a Job that was stopped; others
        stay a while to be looked at.
        """
        self.cluster.delete(SECRETS, _name(job), {})
        why = reading.verdict_of(job)
        if why and why.reason is Reason.STOPPED:
            uid = {"uid": job["metadata"]["uid"]}
            options = {**BACKGROUND, "preconditions": uid}
            with suppress(ConflictError):  # another Job of the same name
                self.cluster.delete(JOBS, _name(job), options)
            return
        labels = {spec_of.PUT_AWAY: "true"}
        change = {
            "metadata": {"labels": labels},
            "spec": {"ttlSecondsAfterFinished": int(ttl.total_seconds())},
        }
        self.cluster.patch(JOBS, _name(job), change)

    def _let_time_pass(self, kind: str, thing: Json) -> None:
        if thing["spec"].get("activeDeadlineSeconds") != 1:
            change = {"spec": {"activeDeadlineSeconds": 1}}
            self.cluster.patch(kind, _name(thing), change)


def as_read(thing: Json) -> Json:
    """Return what a write is to meet: the object as it was read."""
    metadata = thing["metadata"]
    return {
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }


def _name(thing: Json) -> str:
    return str(thing["metadata"]["name"])
