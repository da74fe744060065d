"""What a process has going for an attempt that it waits for."""

import logging
import time
import weakref
from dataclasses import replace
from datetime import timedelta
from threading import Event

from moderate.analyses import kubernetes_objects as reading
from moderate.analyses.kubernetes_api import JOBS, PODS, Json
from moderate.analyses.kubernetes_causes import Patience, Stuck
from moderate.analyses.kubernetes_ending import Ending
from moderate.analyses.kubernetes_log import Excerpt, LogFollower, Sink
from moderate.analyses.kubernetes_objects import Facts
from moderate.analyses.kubernetes_outcome import Standing, standing
from moderate.analyses.kubernetes_reader import Reader
from moderate.analyses.kubernetes_spec import attempt_selector
from moderate.analyses.kubernetes_watch import Watch
from moderate.analyses.launcher import (
    AttemptId,
    Pending,
    Status,
    UnreachableError,
)
from moderate.analyses.outcomes import Outcome

LOOK_SECONDS = 4.0
"""Between two looks where no watch says that there is news."""

LAST_LINES_SECONDS = 5.0
KEPT_BYTES = 4 * 2**20
"""The most that is kept of one log in this process."""

_LOG = logging.getLogger(__name__)


class _SeenPods:
    """Remembers pods: what one was when it went is in no later answer."""

    def __init__(self) -> None:
        self.changed = Event()
        self._seen: dict[str, Json] = {}

    def tell(self, pod: Json | None) -> None:
        """Take what a watch tells."""
        if pod:
            self._seen[pod["metadata"]["uid"]] = pod
        self.changed.set()

    def completed(self, facts: Facts) -> Facts:
        """Return facts with the pods that are gone, where there are none."""
        for pod in facts.pods:
            self._seen[pod["metadata"]["uid"]] = pod
        if facts.pods or facts.job is None:
            return facts
        # One last seen at work says nothing of its end; its events may.
        told = [
            _over(pod)
            for pod in self._seen.values()
            if reading.is_going(pod) or reading.is_over(pod, facts.now)
        ]
        return replace(facts, pods=told)


def _over(pod: Json) -> Json:
    """Return a pod that is gone as one of which nothing runs."""
    phase = pod["status"].get("phase")
    phase = phase if phase in reading.OVER else "Failed"
    return {**pod, "status": {**pod["status"], "phase": phase}}


class Vigil:
    """Watches one attempt, follows its log, and loses patience with it.

    Args:
        reader: Reads how it stands.
        attempt: What is waited for.
        sink: Gets the lines of its log.
    """

    def __init__(self, reader: Reader, attempt: AttemptId, sink: Sink) -> None:
        self.log = Excerpt(KEPT_BYTES)
        self.is_closed = False
        self._reader = reader
        self._attempt = attempt
        self._sink = sink
        self._pods = _SeenPods()
        self._changed = changed = self._pods.changed
        selectors = {
            JOBS: {"fieldSelector": f"metadata.name={attempt.name}"},
            PODS: {"labelSelector": attempt_selector(reader.options, attempt)},
        }
        tells = {JOBS: lambda _: changed.set(), PODS: self._pods.tell}
        self._watches = [
            Watch(reader.cluster, kind, selector, tells[kind])
            for kind, selector in selectors.items()
        ]
        for watch in self._watches:
            # For when whoever waited was interrupted, and drops this.
            weakref.finalize(self, watch.close)
        self._follower: LogFollower | None = None
        self._last: Standing | None = None
        self._looked = 0.0
        self._stuck: tuple[Outcome, float] | None = None

    def status(self) -> Status:
        """Return how it stands, looking only if there may be news.

        Where the API server can't be reached it is what was seen last.
        """
        age = time.monotonic() - self._looked
        if self._last and age < LOOK_SECONDS and not self._changed.is_set():
            return self._last.status
        self._changed.clear()
        self._looked = time.monotonic()
        try:
            facts = self._pods.completed(self._reader.facts(self._attempt))
            self._last = standing(facts)
            self._follow(facts)
            self._lose_patience(facts, self._last.stuck)
        except UnreachableError as error:
            _LOG.warning("%s: %s; waiting", self._attempt.name, error)
            self._last = self._last or Standing(Pending(str(error)))
        return self._last.status

    def wait(self, seconds: float) -> None:
        """Wait until there may be news."""
        age = time.monotonic() - self._looked
        self._changed.wait(max(0.0, min(seconds, LOOK_SECONDS - age)))

    def finish(self) -> None:
        """Read the log's last lines, and stop watching; the log is kept."""
        if self._follower and not self.is_closed:
            self._follower.finish(LAST_LINES_SECONDS)
        self.close()

    def close(self) -> None:
        """Stop watching and following, for instance because of a cancel."""
        self.is_closed = True
        for watch in self._watches:
            watch.close()
        if self._follower:
            self._follower.close()

    def _follow(self, facts: Facts) -> None:
        pod = reading.newest(facts.pods)
        if self._follower is None and pod and reading.has_begun(pod):
            self._follower = LogFollower(
                self._reader.cluster,
                pod["metadata"]["name"],
                self.log,
                self._sink,
            )
            weakref.finalize(self, self._follower.close)

    def _lose_patience(self, facts: Facts, stuck: Stuck | None) -> None:
        if stuck is None or facts.job is None:
            self._stuck = None
            return
        name, now = self._attempt.name, time.monotonic()
        if self._stuck is None or self._stuck[0] != stuck.outcome:
            self._stuck = (stuck.outcome, now)
            if stuck.said:
                _LOG.warning("%s waits: %s", name, stuck.said)
        if now - self._stuck[1] >= self._patience(stuck):
            _LOG.warning("%s is given up: %s", name, stuck.said)
            ending = Ending(self._reader.cluster)
            ending.end(
                facts.job, list(facts.pods), stuck.outcome, is_late=False
            )

    def _patience(self, stuck: Stuck) -> float:
        options = self._reader.options
        spans = {
            Patience.NONE: timedelta(),
            Patience.START: options.start_patience,
            Patience.PENDING: options.pending_timeout,
        }
        return spans[stuck.patience].total_seconds()
