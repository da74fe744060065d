"""Runs analyses as Kubernetes Jobs.

An attempt is a Job of the attempt's name, made suspended (``prepare``) and
set going by one guarded write (``launch``), so that of all who try, whenever,
one starts it, and none does beside or after another attempt at the item. What
an attempt is, any worker reads from the cluster; nothing is kept here but the
log that was followed meanwhile.

An attempt is ended so that its log stays: the kubelet is told that the pod's
time is up, and the pod remains. Why we ended one is written on its Job first,
so every worker gives the same reason. Needs Kubernetes 1.29 or later.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event

from moderate.analyses import kubernetes_outcome as reading
from moderate.analyses import kubernetes_spec as spec_of
from moderate.analyses.kubernetes_api import (
    BACKGROUND,
    EVENTS,
    JOBS,
    PODS,
    SECRETS,
    Cluster,
    ConflictError,
    ExistsError,
    Json,
    UnreachableError,
)
from moderate.analyses.kubernetes_log import (
    Excerpt,
    LogFollower,
    Sink,
    read_log,
)
from moderate.analyses.kubernetes_outcome import (
    Facts,
    Patience,
    Standing,
    Stuck,
)
from moderate.analyses.kubernetes_spec import Options
from moderate.analyses.kubernetes_watch import JobWatch
from moderate.analyses.launcher import (
    DEFAULT_STOP_GRACE,
    Absent,
    AnalysisSpec,
    AttemptId,
    AttemptRunningError,
    Finished,
    Pending,
    Running,
    Status,
    SupersededError,
)
from moderate.analyses.outcomes import Outcome, Reason
from moderate.errors import PermanentError, TemporaryError

LOOK_SECONDS = 4.0
"""Between two looks where no watch says that there is news."""

STOP_LOOK_SECONDS = 0.3
STOP_MARGIN = timedelta(seconds=20)
"""What a cluster may take to end an attempt, on top of the grace."""

KUBELET_SHARE = timedelta(seconds=10)
"""The part of it that the kubelet has before the cluster is asked."""

LAST_LINES_SECONDS = 5.0
TAIL_BYTES = 4096
KEPT_BYTES = 4 * 2**20
"""The most that is kept of one log in this process."""

TRIES = 20
"""Of a write that others overtook; each overtaking is somebody's progress."""

_LOG = logging.getLogger(__name__)


def _nowhere(_line: bytes) -> None:
    """Pass a line of a log on to nobody."""


@dataclass
class _Vigil:
    """What this process has running for an attempt that it waits for."""

    watch: JobWatch
    changed: Event
    log: Excerpt = field(default_factory=lambda: Excerpt(KEPT_BYTES))
    follower: LogFollower | None = None
    standing: Standing | None = None
    looked: float = 0.0
    stuck: tuple[Outcome, float] | None = None


class KubernetesLauncher:
    """The Launcher protocol, on a Kubernetes cluster.

    Args:
        cluster: Where the Jobs are.
        options: How they run there.
        sink: Gets the lines of the log of what is waited for, as they come.
    """

    def __init__(
        self, cluster: Cluster, options: Options, *, sink: Sink = _nowhere
    ) -> None:
        self._cluster = cluster
        self._options = options
        self._sink = sink
        self._vigils: dict[AttemptId, _Vigil] = {}

    def prepare(self, spec: AnalysisSpec) -> None:
        """Make the attempt's Job, suspended.

        Raises:
            PermanentError: The cluster can't run such a spec.
            TemporaryError: Another service has a Job of this name.
        """
        self._prepared(spec)

    def launch(self, spec: AnalysisSpec) -> Status:
        """Start the attempt, or adopt it (see ``Launcher.launch``)."""
        attempt = spec.attempt
        for _ in range(TRIES):
            # The order is what keeps two attempts apart: whoever prepared a
            # later one before this list is in it, and whoever did after it
            # finds this Job, and ends it or makes the write below fail.
            job = self._prepared(spec)
            self._refuse_out_of_turn(attempt)
            if not reading.is_suspended(job):
                return self.status(attempt)
            self._put_secret(spec, job)
            with suppress(ConflictError):
                if self._set_going(job):
                    return self.status(attempt)
        msg = f"{attempt.name}: others changed it again and again"
        raise TemporaryError(msg)

    def status(self, attempt: AttemptId) -> Status:
        """Return how it stands.

        Pods whose Job somebody deleted are deleted on the way: an attempt
        without a Job has no time limit and nobody to take its outcome.
        """
        return self._look(attempt).status

    def wait(self, attempt: AttemptId, timeout: timedelta) -> Status:
        """Return the status as soon as nothing is left to wait for.

        An API server that can't be reached is waited for. An attempt that
        can't begin is given up here when its patience has passed.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        vigil = self._vigil(attempt)
        while True:
            status = self._news(attempt, vigil).status
            left = deadline - time.monotonic()
            if isinstance(status, Finished | Absent):
                self._end_vigil(attempt)
                return status
            if left <= 0:
                return status
            vigil.changed.wait(min(left, LOOK_SECONDS))

    def logs(self, attempt: AttemptId, max_bytes: int) -> bytes:
        """Return what it wrote: head and tail where that's too long.

        Where the pod is gone it is what was followed while it was there.
        """
        job = self._cluster.get(JOBS, attempt.name)
        kept = Excerpt(max_bytes)
        vigil = self._vigils.get(attempt)
        if vigil and vigil.log.size:
            kept = vigil.log
        if job and spec_of.PUT_AWAY in reading.labels(job):
            return b""
        pod = reading.newest(self._pods(attempt))
        if pod and reading.has_begun(pod):
            whole = Excerpt(max_bytes)
            try:
                read_log(self._cluster, pod["metadata"]["name"], whole)
            except TemporaryError as error:
                if isinstance(error, UnreachableError) and not kept.size:
                    raise
                _LOG.warning("%s: no log: %s", attempt.name, error)
            kept = max(kept, whole, key=lambda each: each.size)
        return kept.text(max_bytes)

    def stop(self, attempt: AttemptId) -> None:
        """End all its processes, and return when they are seen gone.

        Raises:
            TemporaryError: They could not be ended yet.
        """
        begun = time.monotonic()
        margin = STOP_MARGIN.total_seconds()
        grace = DEFAULT_STOP_GRACE.total_seconds()
        while True:
            job = self._cluster.get(JOBS, attempt.name)
            status = self._look(attempt, job).status
            if isinstance(status, Finished):
                return
            if isinstance(status, Absent) and self._remove_prepared(job):
                return
            if job:
                pod = job["spec"]["template"]["spec"]
                grace = pod.get("terminationGracePeriodSeconds", grace)
            passed = time.monotonic() - begun
            if passed > grace + margin:
                msg = f"{attempt.name} could not be ended yet"
                raise TemporaryError(msg)
            self._end(
                attempt,
                job,
                Outcome(Reason.STOPPED),
                is_late=passed > grace + KUBELET_SHARE.total_seconds(),
            )
            time.sleep(STOP_LOOK_SECONDS)

    def clean_up(self, attempt: AttemptId) -> None:
        """Let the cluster remove its traces; others see none from now on.

        The Secret goes at once, and so does what was stopped; the Job of an
        attempt that ended by itself stays for a while, to be looked at.

        Raises:
            AttemptRunningError: It still runs.
        """
        self._end_vigil(attempt)
        self._vigils.pop(attempt, None)
        job = self._cluster.get(JOBS, attempt.name)
        status = self._look(attempt, job).status
        if isinstance(status, Running | Pending):
            raise _running(attempt)
        for pod in self._pods(attempt):
            if reading.is_lost(pod, _now()) or not _has_owner(pod):
                self._delete_pod(pod, grace=0)
        if job is None or not self._is_ours(job):
            return
        if isinstance(status, Absent):
            self._remove_prepared(job)
        else:
            self._put_away(job)

    def attempts(self, kind: str, item_id: int) -> list[AttemptId]:
        """Return the attempts at one item that left traces, in order."""
        selector = spec_of.item_selector(self._options, kind, item_id)
        return self._attempts(selector)

    def all_attempts(self) -> list[AttemptId]:
        """Return all attempts that left traces, in order."""
        return self._attempts(spec_of.service_selector(self._options))

    def close(self) -> None:
        """Stop to watch and to follow; analyses go on."""
        for attempt in list(self._vigils):
            self._end_vigil(attempt)

    # Launching

    def _prepared(self, spec: AnalysisSpec) -> Json:
        """Return the attempt's Job, made if there is none."""
        if not spec.command or not spec.image:
            msg = f"{spec.attempt.name}: no command or no image to run"
            raise PermanentError(msg)
        name = spec.attempt.name
        job = self._cluster.get(JOBS, name)
        if job is None:
            try:
                rendered = spec_of.render_job(spec, self._options)
                return self._cluster.create(JOBS, rendered)
            except ExistsError:
                job = self._cluster.get(JOBS, name)
        if job is None or reading.is_going(job):
            raise TemporaryError(f"{name}: its Job is being removed")
        if not self._is_ours(job):
            msg = f"{name}: a Job of another service has this name"
            raise TemporaryError(msg)
        if spec_of.PUT_AWAY in reading.labels(job):
            self._delete_job(job)
            raise TemporaryError(f"{name}: its Job is being removed")
        return job

    def _is_ours(self, job: Json) -> bool:
        labels = reading.labels(job)
        return labels.get(spec_of.SERVICE) == self._options.service

    def _refuse_out_of_turn(self, attempt: AttemptId) -> None:
        for other in self.attempts(attempt.kind, attempt.item_id):
            if other.dispatch > attempt.dispatch:
                msg = f"{attempt.name}: a later attempt is known"
                raise SupersededError(msg)
            if other.dispatch < attempt.dispatch and isinstance(
                self.status(other), Running | Pending
            ):
                raise _running(other)

    def _put_secret(self, spec: AnalysisSpec, job: Json) -> None:
        secret = spec_of.render_secret(spec, self._options, job)
        if not secret["stringData"]:
            return
        try:
            self._cluster.create(SECRETS, secret)
        except ExistsError:
            # An earlier try's, whose link may be old.
            self._cluster.patch(SECRETS, spec.attempt.name, secret)

    def _set_going(self, job: Json) -> bool:
        """Start a Job unless somebody changed or removed it meanwhile."""
        change = {
            "metadata": _as_read(job),
            "spec": {"suspend": False},
        }
        name = job["metadata"]["name"]
        return self._cluster.patch(JOBS, name, change) is not None

    # Looking

    def _look(self, attempt: AttemptId, job: Json | None = None) -> Standing:
        job = job or self._cluster.get(JOBS, attempt.name)
        if job and not self._is_ours(job):
            job = None
        pods = self._pods(attempt)
        if job is None:
            self._delete_orphans(pods)
        return reading.standing(
            Facts(
                job=job,
                pods=pods,
                events=lambda: list(self._events(attempt, pods)),
                log_tail=lambda: self.logs(attempt, TAIL_BYTES),
                now=_now(),
            )
        )

    def _pods(self, attempt: AttemptId) -> list[Json]:
        selector = spec_of.attempt_selector(self._options, attempt)
        return self._cluster.find(PODS, labelSelector=selector)

    def _delete_orphans(self, pods: list[Json]) -> None:
        for pod in pods:
            if not reading.is_going(pod):
                self._delete_pod(pod)

    def _delete_pod(self, pod: Json, grace: int | None = None) -> None:
        options: Json = {"preconditions": {"uid": pod["metadata"]["uid"]}}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        with suppress(ConflictError):  # another pod of the same name
            self._cluster.delete(PODS, pod["metadata"]["name"], options)

    def _events(self, attempt: AttemptId, pods: list[Json]) -> Iterator[Json]:
        """Yield the events of a Job and of its pods, the oldest first.

        A pod that is gone is known by the event of its making.
        """
        of_job = self._events_of("Job", attempt.name)
        names = {pod["metadata"]["name"] for pod in pods}
        names |= {
            e["message"].rpartition(": ")[2]
            for e in of_job
            if e["reason"] == "SuccessfulCreate"
        }
        yield from of_job
        for name in sorted(names):
            yield from self._events_of("Pod", name)

    def _events_of(self, kind: str, name: str) -> list[Json]:
        which = f"involvedObject.kind={kind},involvedObject.name={name}"
        found = self._cluster.find(EVENTS, fieldSelector=which)
        return sorted(
            found,
            key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "",
        )

    def _attempts(self, selector: str) -> list[AttemptId]:
        listed = f"{selector},!{spec_of.PUT_AWAY}"
        jobs = [
            job
            for job in self._cluster.find(JOBS, labelSelector=listed)
            if not reading.is_going(job)
        ]
        pods = [
            pod
            for pod in self._cluster.find(PODS, labelSelector=selector)
            if not reading.is_over(pod, _now()) or not _has_owner(pod)
        ]
        found = (spec_of.attempt_of(thing) for thing in (*jobs, *pods))
        return sorted({attempt for attempt in found if attempt})

    # Waiting

    def _vigil(self, attempt: AttemptId) -> _Vigil:
        vigil = self._vigils.get(attempt)
        if vigil is None or vigil.watch.is_closed:
            changed = Event()
            watch = JobWatch(self._cluster, attempt.name, changed)
            vigil = self._vigils[attempt] = _Vigil(watch, changed)
        return vigil

    def _news(self, attempt: AttemptId, vigil: _Vigil) -> Standing:
        """Look if there may be news; keep what was seen otherwise."""
        age = time.monotonic() - vigil.looked
        if (
            vigil.standing
            and age < LOOK_SECONDS
            and not vigil.changed.is_set()
        ):
            return vigil.standing
        vigil.changed.clear()
        vigil.looked = time.monotonic()
        try:
            vigil.standing = self._look(attempt)
            self._follow(attempt, vigil)
            self._lose_patience(attempt, vigil)
        except UnreachableError as error:
            _LOG.warning("%s: %s; waiting for it", attempt.name, error)
            vigil.standing = vigil.standing or Standing(Pending(str(error)))
        return vigil.standing

    def _follow(self, attempt: AttemptId, vigil: _Vigil) -> None:
        if vigil.follower is not None:
            return
        pod = reading.newest(self._pods(attempt))
        if pod and reading.has_begun(pod):
            vigil.follower = LogFollower(
                self._cluster, pod["metadata"]["name"], vigil.log, self._sink
            )

    def _lose_patience(self, attempt: AttemptId, vigil: _Vigil) -> None:
        stuck = vigil.standing.stuck if vigil.standing else None
        if stuck is None:
            vigil.stuck = None
            return
        now = time.monotonic()
        if vigil.stuck is None or vigil.stuck[0] != stuck.outcome:
            vigil.stuck = (stuck.outcome, now)
            if stuck.said:
                _LOG.warning("%s waits: %s", attempt.name, stuck.said)
        if now - vigil.stuck[1] >= self._patience(stuck):
            _LOG.warning("%s is given up: %s", attempt.name, stuck.said)
            job = self._cluster.get(JOBS, attempt.name)
            self._end(attempt, job, stuck.outcome, is_late=True)

    def _patience(self, stuck: Stuck) -> float:
        spans = {
            Patience.NONE: timedelta(),
            Patience.START: self._options.start_patience,
            Patience.PENDING: self._options.pending_timeout,
        }
        return spans[stuck.patience].total_seconds()

    def _end_vigil(self, attempt: AttemptId) -> None:
        """Read the last lines; the log that was followed is kept."""
        vigil = self._vigils.get(attempt)
        if vigil is None or vigil.watch.is_closed:
            return
        vigil.watch.close()
        if vigil.follower:
            vigil.follower.finish(LAST_LINES_SECONDS)

    # Ending

    def _end(
        self,
        attempt: AttemptId,
        job: Json | None,
        why: Outcome,
        *,
        is_late: bool,
    ) -> None:
        """Have an attempt ended, so that the pod and its log stay.

        Args:
            attempt: Which one.
            job: Its Job as it was just read.
            why: Its outcome, should it have none of its own.
            is_late: Whether the cluster is to end what the kubelet did not;
                that removes the pod.
        """
        if job is None or not self._is_ours(job):
            return  # its pods are being deleted
        # A change by somebody else meanwhile: looked at next time.
        with suppress(ConflictError):
            if reading.verdict_of(job) is None and not self._write_verdict(
                job, why
            ):
                return
            begun = [p for p in self._pods(attempt) if reading.has_begun(p)]
            for pod in begun:
                self._let_time_pass(PODS, pod)
            if is_late or not begun:
                self._let_time_pass(JOBS, job)

    def _write_verdict(self, job: Json, why: Outcome) -> bool:
        """Write why we end it, unless it changed since it was read."""
        verdict = {spec_of.VERDICT: reading.to_verdict(why)}
        change = {"metadata": {**_as_read(job), "annotations": verdict}}
        name = job["metadata"]["name"]
        return self._cluster.patch(JOBS, name, change) is not None

    def _let_time_pass(self, kind: str, thing: Json) -> None:
        if thing["spec"].get("activeDeadlineSeconds") != 1:
            change = {"spec": {"activeDeadlineSeconds": 1}}
            self._cluster.patch(kind, thing["metadata"]["name"], change)

    def _remove_prepared(self, job: Json | None) -> bool:
        """Remove a Job that never began, so that it never will.

        Returns:
            Whether it is gone; else it was set going just now.
        """
        if job is None or not self._is_ours(job) or reading.is_going(job):
            return True
        if spec_of.PUT_AWAY in reading.labels(job):
            return True
        try:
            self._delete_job(job)
        except ConflictError:
            return False
        return True

    def _delete_job(self, job: Json) -> None:
        """Delete a Job with its pods, unless it changed since it was read."""
        options = {**BACKGROUND, "preconditions": _as_read(job)}
        self._cluster.delete(JOBS, job["metadata"]["name"], options)

    def _put_away(self, job: Json) -> None:
        name = job["metadata"]["name"]
        self._cluster.delete(SECRETS, name, {})
        why = reading.verdict_of(job)
        if why and why.reason is Reason.STOPPED:
            uid = {"uid": job["metadata"]["uid"]}
            options = {**BACKGROUND, "preconditions": uid}
            self._cluster.delete(JOBS, name, options)
            return
        change = {
            "metadata": {
                "uid": job["metadata"]["uid"],
                "labels": {spec_of.PUT_AWAY: "true"},
            },
            "spec": {
                "ttlSecondsAfterFinished": int(
                    self._options.ttl.total_seconds()
                )
            },
        }
        self._cluster.patch(JOBS, name, change)


def _as_read(thing: Json) -> Json:
    """Return what a write is to meet: the object as it was read."""
    metadata = thing["metadata"]
    return {
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }


def _has_owner(pod: Json) -> bool:
    return bool(pod["metadata"].get("ownerReferences"))


def _now() -> datetime:
    return datetime.now(UTC)


def _running(attempt: AttemptId) -> AttemptRunningError:
    return AttemptRunningError(f"{attempt.name} still runs")
