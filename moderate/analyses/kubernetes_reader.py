"""What a cluster has of attempts: Jobs, pods and their events."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from moderate.analyses import kubernetes_objects as reading
from moderate.analyses import kubernetes_spec as spec_of
from moderate.analyses.kubernetes_api import (
    EVENTS,
    JOBS,
    PODS,
    Cluster,
    Json,
)
from moderate.analyses.kubernetes_errors import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    taken_apart,
)
from moderate.analyses.kubernetes_log import Excerpt, read_log
from moderate.analyses.kubernetes_objects import Facts
from moderate.analyses.kubernetes_spec import Options
from moderate.analyses.launcher import (
    AttemptId,
    RefusedError,
    UnreachableError,
)

TAIL_BYTES = 4096


@dataclass(frozen=True)
class Reader:
    """Reads one service's attempts.

    Args:
        cluster: Where they are.
        options: Whose they are.
    """

    cluster: Cluster
    options: Options

    def job(self, attempt: AttemptId) -> Json | None:
        """Return an attempt's Job, if this service has it."""
        job = self.cluster.get(JOBS, attempt.name)
        return job if job and self.is_ours(job) else None

    def is_ours(self, job: Json) -> bool:
        """Say whether a Job is this service's."""
        return reading.labels(job).get(spec_of.SERVICE) == self.options.service

    def pods(self, attempt: AttemptId) -> list[Json]:
        """Return an attempt's pods, those too whose Job is gone."""
        selector = spec_of.attempt_selector(self.options, attempt)
        return self.cluster.find(PODS, labelSelector=selector)

    def facts(self, attempt: AttemptId) -> Facts:
        """Return all that there is of an attempt.

        Pods whose Job somebody deleted are deleted on the way: nothing else
        bounds their time, and nobody takes their outcome.
        """
        job = self.job(attempt)
        pods = self.pods(attempt)
        if job is None and pods:
            # It may have been made, and begun, between the two looks.
            job = self.job(attempt)
        if job is None:
            for pod in pods:
                if not reading.is_going(pod):
                    self.delete_pod(pod)
        return Facts(
            job=job,
            pods=pods,
            events=lambda: list(self._events(attempt, pods)),
            log_tail=lambda: self._log_tail(pods),
            now=self.cluster.clock.now(),
        )

    def attempts(self, selector: str) -> list[AttemptId]:
        """Return the attempts that left traces, in order."""
        with taken_apart():
            return self._attempts(selector)

    def _attempts(self, selector: str) -> list[AttemptId]:
        listed = f"{selector},!{spec_of.PUT_AWAY}"
        jobs = [
            job
            for job in self.cluster.find(JOBS, labelSelector=listed)
            if not reading.is_going(job)
        ]
        now = self.cluster.clock.now()
        pods = [
            pod
            for pod in self.cluster.find(PODS, labelSelector=selector)
            if not reading.is_over(pod, now) or not has_owner(pod)
        ]
        found = (spec_of.attempt_of(thing) for thing in (*jobs, *pods))
        return sorted({attempt for attempt in found if attempt})

    def delete_pod(self, pod: Json, grace: int | None = None) -> None:
        """Delete one pod, and no other of its name."""
        options: Json = {"preconditions": {"uid": pod["metadata"]["uid"]}}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        with suppress(ConflictError):
            self.cluster.delete(PODS, pod["metadata"]["name"], options)

    def read_log(self, pods: list[Json], max_bytes: int) -> Excerpt:
        """Return the log of the newest pod, as far as it can be read.

        Raises:
            UnreachableError: It can't be read now.
            RefusedError: We may not read it.
        """
        excerpt = Excerpt(max_bytes)
        pod = reading.newest(pods)
        if pod and reading.has_begun(pod):
            try:
                read_log(self.cluster, pod["metadata"]["name"], excerpt)
            except UnreachableError:
                # A lost machine answers so for ever.
                if not reading.is_lost(pod, self.cluster.clock.now()):
                    raise
            except (BadRequestError, NotFoundError):
                pass  # it has none, or none any more
        return excerpt

    def _log_tail(self, pods: list[Json]) -> bytes:
        """Return the end of the log, which makes an outcome more precise."""
        try:
            return self.read_log(pods, TAIL_BYTES).text(TAIL_BYTES)
        except RefusedError:
            return b""  # the outcome itself is known

    def _events(self, attempt: AttemptId, pods: list[Json]) -> Iterator[Json]:
        """Yield the events of a Job and of its pods, the oldest first.

        A pod that is gone is known by the event of its making.
        """
        of_job = self._events_of("Job", attempt.name)
        names = {pod["metadata"]["name"] for pod in pods}
        names |= {
            event["message"].rpartition(": ")[2]
            for event in of_job
            if event["reason"] == "SuccessfulCreate"
        }
        yield from of_job
        for name in sorted(names):
            yield from self._events_of("Pod", name)

    def _events_of(self, kind: str, name: str) -> list[Json]:
        which = f"involvedObject.kind={kind},involvedObject.name={name}"
        found = self.cluster.find(EVENTS, fieldSelector=which)
        return sorted(found, key=reading.time_of_event)


def has_owner(pod: Json) -> bool:
    """Say whether a pod goes with its Job; orphans don't."""
    return bool(pod["metadata"].get("ownerReferences"))
