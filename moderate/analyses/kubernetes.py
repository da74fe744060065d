"""Runs analyses as Kubernetes Jobs.

An attempt is a Job of the attempt's name, made suspended (``prepare``) and
set going by one guarded write (``launch``), so that of all who try, whenever,
one starts it, and none does beside or after another attempt at the item. What
an attempt is, any worker reads from the cluster; nothing is kept here but the
log that was followed meanwhile.

An attempt is ended so that its log stays: the kubelet is told that the pod's
time is up, and the pod remains. Why we ended one is written on its Job first,
so every worker gives the same reason.

    kubernetes_api      the edge: calls and streams
    kubernetes_errors   what answers mean that are none
    kubernetes_spec     what is asked for: Job, Secret, labels
    kubernetes_security what a configuration may add to it
    kubernetes_objects  what Jobs and pods say of themselves
    kubernetes_outcome  how an attempt stands, read from that
    kubernetes_causes   why it does not begin, and why it failed
    kubernetes_reader   what there is
    kubernetes_vigil    waiting: watch, log and patience
    kubernetes_ending   ending, and putting away
"""

import time
from contextlib import suppress
from datetime import timedelta

from moderate.analyses import kubernetes_objects as reading
from moderate.analyses import kubernetes_spec as spec_of
from moderate.analyses.kubernetes_api import (
    JOBS,
    SECRETS,
    Cluster,
    Json,
)
from moderate.analyses.kubernetes_ending import Ending, as_read
from moderate.analyses.kubernetes_errors import ConflictError, ExistsError
from moderate.analyses.kubernetes_log import Sink
from moderate.analyses.kubernetes_objects import Facts
from moderate.analyses.kubernetes_outcome import standing
from moderate.analyses.kubernetes_reader import Reader, has_owner
from moderate.analyses.kubernetes_spec import Options
from moderate.analyses.kubernetes_vigil import Vigil
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
    UnreachableError,
)
from moderate.analyses.outcomes import Outcome, Reason
from moderate.errors import PermanentError, TemporaryError

STOP_LOOK_SECONDS = 0.3
STOP_MARGIN = timedelta(seconds=20)
"""What a cluster may take to end an attempt, on top of the grace."""

KUBELET_SHARE = timedelta(seconds=10)
"""The part of it that the kubelet has before the cluster is asked."""

TRIES = 20
"""Of a write that others overtook; each overtaking is somebody's progress."""


def _nowhere(_line: bytes) -> None:
    """Pass a line of a log on to nobody."""


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
        self._reader = Reader(cluster, options)
        self._ending = Ending(cluster)
        self._vigils: dict[AttemptId, Vigil] = {}

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
        """Return how it stands; pods without a Job are ended on the way."""
        return standing(self._reader.facts(attempt)).status

    def wait(self, attempt: AttemptId, timeout: timedelta) -> Status:
        """Return the status as soon as nothing is left to wait for.

        An API server that can't be reached is waited for. An attempt that
        can't begin is given up here when its patience has passed.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        vigil = self._vigils.get(attempt)
        if vigil is None or vigil.is_closed:
            vigil = Vigil(self._reader, attempt, self._sink)
            self._vigils[attempt] = vigil
        while True:
            status = vigil.status()
            left = deadline - time.monotonic()
            if isinstance(status, Finished | Absent):
                vigil.finish()
                return status
            if left <= 0:
                return status
            vigil.wait(left)

    def logs(self, attempt: AttemptId, max_bytes: int) -> bytes:
        """Return what it wrote: head and tail where that's too long.

        Where the pod is gone it is what was followed while it was there.
        """
        job = self._reader.job(attempt)
        if job and spec_of.PUT_AWAY in reading.labels(job):
            return b""
        vigil = self._vigils.get(attempt)
        kept = vigil.log if vigil else None
        try:
            whole = self._reader.read_log(
                self._reader.pods(attempt), max_bytes
            )
        except UnreachableError:
            if not kept or not kept.size:
                raise
            return kept.text(max_bytes)
        longer = kept if kept and kept.size > whole.size else whole
        return longer.text(max_bytes)

    def stop(self, attempt: AttemptId) -> None:
        """End all its processes, and return when they are seen gone.

        Raises:
            TemporaryError: They could not be ended yet.
        """
        begun = time.monotonic()
        while True:
            facts = self._reader.facts(attempt)
            status = standing(facts).status
            if isinstance(status, Finished) or (
                isinstance(status, Absent) and self._is_removed(facts)
            ):
                return
            passed = timedelta(seconds=time.monotonic() - begun)
            grace = _grace(facts.job)
            if passed > grace + STOP_MARGIN:
                msg = f"{attempt.name} could not be ended yet"
                raise TemporaryError(msg)
            if facts.job:
                self._ending.end(
                    facts.job,
                    list(facts.pods),
                    Outcome(Reason.STOPPED),
                    is_late=passed > grace + KUBELET_SHARE,
                )
            time.sleep(STOP_LOOK_SECONDS)

    def clean_up(self, attempt: AttemptId) -> None:
        """Let the cluster remove its traces; others see none from now on.

        The Secret goes at once, and so does what was stopped; the Job of an
        attempt that ended by itself stays for a while, to be looked at.

        Raises:
            AttemptRunningError: It still runs.
        """
        facts = self._reader.facts(attempt)
        status = standing(facts).status
        if isinstance(status, Running | Pending):
            raise _running(attempt)
        if isinstance(status, Absent) and not self._is_removed(facts):
            raise _running(attempt)
        vigil = self._vigils.pop(attempt, None)
        if vigil:
            vigil.close()
        for pod in facts.pods:
            if reading.is_lost(pod, facts.now) or not has_owner(pod):
                self._reader.delete_pod(pod, grace=0)
        if facts.job and isinstance(status, Finished):
            self._ending.put_away(facts.job, self._options.ttl)

    def attempts(self, kind: str, item_id: int) -> list[AttemptId]:
        """Return the attempts at one item that left traces, in order."""
        return self._reader.attempts(
            spec_of.item_selector(self._options, kind, item_id)
        )

    def all_attempts(self) -> list[AttemptId]:
        """Return all attempts that left traces, in order."""
        return self._reader.attempts(spec_of.service_selector(self._options))

    def close(self) -> None:
        """Stop to watch and to follow; analyses go on."""
        for vigil in self._vigils.values():
            vigil.close()

    def _prepared(self, spec: AnalysisSpec) -> Json:
        """Return the attempt's Job, made if there is none."""
        name = spec.attempt.name
        if not spec.command or not spec.image:
            raise PermanentError(f"{name}: no command or no image to run")
        job = self._cluster.get(JOBS, name)
        if job is None:
            try:
                rendered = spec_of.render_job(spec, self._options)
                return self._cluster.create(JOBS, rendered)
            except ExistsError:
                job = self._cluster.get(JOBS, name)
        if job and not self._reader.is_ours(job):
            msg = f"{name}: a Job of another service has this name"
            raise TemporaryError(msg)
        if job is None or reading.is_going(job):
            raise TemporaryError(f"{name}: its Job is being removed")
        if spec_of.PUT_AWAY in reading.labels(job):
            self._ending.delete(job)
            raise TemporaryError(f"{name}: its Job is being removed")
        return job

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
        name = spec.attempt.name
        for _ in range(TRIES):
            with suppress(ExistsError):
                self._cluster.create(SECRETS, secret)
                return
            # An earlier try's, whose link may be old; or that of a Job that
            # is gone, which the cluster is just removing.
            if self._cluster.patch(SECRETS, name, secret) is not None:
                return
        raise TemporaryError(f"{name}: its Secret is removed again and again")

    def _set_going(self, job: Json) -> bool:
        """Start a Job unless somebody changed or removed it meanwhile."""
        change = {"metadata": as_read(job), "spec": {"suspend": False}}
        name = job["metadata"]["name"]
        return self._cluster.patch(JOBS, name, change) is not None

    def _is_removed(self, facts: Facts) -> bool:
        """See to it that an absent attempt's Job never begins."""
        return facts.job is None or self._ending.remove_unbegun(facts.job)


def _grace(job: Json | None) -> timedelta:
    if job is None:
        return DEFAULT_STOP_GRACE
    pod = job["spec"]["template"]["spec"]
    return timedelta(seconds=pod["terminationGracePeriodSeconds"])


def _running(attempt: AttemptId) -> AttemptRunningError:
    return AttemptRunningError(f"{attempt.name} still runs")
