"""One analysis, from the item's payload to a report in S3 or a reason.

Twice is harmless: an attempt's name, its process and its report's key derive
from item and dispatch number. An earlier attempt that is still at work, or
has succeeded, is adopted; any other is seen gone before a new one starts.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from pydantic import SecretStr

from moderate.analyses.launcher import (
    AnalysisSpec,
    AttemptId,
    Finished,
    Launcher,
    Limits,
    NoRoomError,
    Pending,
    RefusedError,
    Running,
    UnreachableError,
    stop_earlier,
    wait_until_finished,
)
from moderate.analyses.outcomes import Outcome, Reason, error_of, summarise
from moderate.clients.object_storage import LONGEST_PRESIGNED, ObjectStorage
from moderate.errors import ModerateError, PermanentError, TemporaryError
from moderate.flows.matrix_profile.messages import (
    ImageRule,
    JobRequest,
    request_of,
)
from moderate.inbox.model import Json, WorkItem
from moderate.redaction import Redactor

ATTEMPT_KIND = "matrix-profile"
"""The kind in the attempts' names, which Kubernetes must accept too."""

WORKLOAD = ("-m", "moderate.workloads.matrix_profile")
COMMAND = (sys.executable, *WORKLOAD)
IMAGE_COMMAND = ("python", *WORKLOAD)
"""The same, in the container image of the analysis."""

LOG_BYTES = 1024 * 1024
"""How much of an analysis' log is stored for its user."""

POLL = timedelta(seconds=1)

PAUSE = timedelta(seconds=5)
"""Before somebody who was away, or had no room, is asked again."""

NO_REPORT = "The analysis ended well but left no report."

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What every analysis of this service has in common.

    Attributes:
        rule: Which images may run.
        outputs_bucket: Bucket of reports and error logs.
        env: Plain environment of the workload.
        secrets: Its secret environment.
        timeout: How long one may take.
        patience: How long one may wait before it begins: for room, for its
            image, for whoever can't be reached. The data's link lives for
            both.
        memory_bytes: Memory that one may use.
        command: What runs it.
    """

    rule: ImageRule
    outputs_bucket: str
    env: Mapping[str, str]
    secrets: Mapping[str, SecretStr]
    timeout: timedelta
    patience: timedelta
    memory_bytes: int
    command: tuple[str, ...] = COMMAND

    @property
    def link_life(self) -> timedelta:
        """How long the link to the data lives; at the end it is read."""
        return min(self.timeout + self.patience, LONGEST_PRESIGNED)


@dataclass(frozen=True)
class Report:
    """A report that lies in S3."""

    attempt: AttemptId
    outcome: Json


class AnalysisError(ModerateError):
    """An attempt failed; ``cause`` is of the kind that decides the retry.

    Attributes:
        cause: The error that the inbox decides on.
        attempt: The attempt that failed, if it is to be put away: its log
            is stored.
        outcome: What the platform is told if there is no further attempt.
    """

    def __init__(
        self, cause: Exception, attempt: AttemptId | None, outcome: Json
    ) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.attempt = attempt
        self.outcome = outcome


class PostponedError(ModerateError):
    """Somebody is away without whom nothing can be said of the analysis.

    The item's own work has not begun, or goes on and is adopted later: the
    item is given back, and no attempt counts.
    """


@dataclass(frozen=True)
class Analysis:
    """Performs analyses with what it is given."""

    launcher: Launcher
    storage: ObjectStorage
    redactor: Redactor
    plan: Plan

    def perform(self, item: WorkItem, beat: Callable[[], None]) -> Report:
        """Run the analysis of an item, or adopt one that already runs.

        Args:
            item: The work item.
            beat: Called while waiting; what it raises ends the waiting and
                leaves the analysis alone.

        Raises:
            AnalysisError: It failed.
            PostponedError: Nothing can be said of it now.
        """
        request = self._understood(item)
        try:
            attempt = self._begun(item, request, beat)
            outcome = wait_until_finished(
                self.launcher, attempt, interval=POLL, beat=beat
            )
        except RefusedError as error:
            raise _postponed(Reason.REFUSED, error) from error
        return self._judge(request, attempt, outcome)

    def put_away(self, attempt: AttemptId) -> None:
        """Remove the traces of a failed attempt, once its end is stored.

        One that ended well without a report would be adopted again.

        Raises:
            TemporaryError: They could not be removed yet.
        """
        self.launcher.clean_up(attempt)

    def end(self, item: WorkItem) -> None:
        """Stop whatever runs for an item that is over; remove its traces.

        Raises:
            ModerateError: Something could not be ended yet, or the log of
                one that failed could not be stored.
        """
        for attempt in self.launcher.attempts(ATTEMPT_KIND, item.id):
            self.end_attempt(attempt, item.key)

    def end_attempt(self, attempt: AttemptId, job: str | None) -> None:
        """Stop an attempt that nobody waits for; remove its traces.

        Args:
            attempt: The attempt.
            job: The platform's job; ``None`` if nobody knows it: then there
                is no place for its log.

        Raises:
            ModerateError: It could not be ended yet, or it had failed and
                its log could not be stored.
        """
        if job is not None:
            self._keep_log(job, attempt)
        self.launcher.stop(attempt)
        self.launcher.clean_up(attempt)

    def _understood(self, item: WorkItem) -> JobRequest:
        try:
            request = request_of(item.payload)
            self.plan.rule.resolve(request)
        except PermanentError as error:
            told = {"error": f"The job's message can't be used: {error}"}
            raise AnalysisError(error, None, told) from error
        return request

    def _begun(
        self, item: WorkItem, request: JobRequest, beat: Callable[[], None]
    ) -> AttemptId:
        """Adopt or launch; wait a while for who is away or has no room."""
        end = time.monotonic() + self.plan.patience.total_seconds()
        while True:
            try:
                # Each time anew: the link's life begins when it is made.
                return self._adopt_or_launch(
                    request, self._spec(item, request)
                )
            except (NoRoomError, UnreachableError) as error:
                if time.monotonic() >= end:
                    raise _given_up(error) from error
                _LOG.warning("%s; waiting", error)
            beat()
            time.sleep(PAUSE.total_seconds())

    def _spec(self, item: WorkItem, request: JobRequest) -> AnalysisSpec:
        attempt = AttemptId(ATTEMPT_KIND, item.id, item.dispatch)
        link = self.storage.presigned_get(
            request.bucket, request.key, self.plan.link_life
        )
        return AnalysisSpec(
            attempt=attempt,
            command=self.plan.command,
            image=self.plan.rule.resolve(request),
            timeout=self.plan.timeout,
            env={
                **self.plan.env,
                "ANALYSIS_VARIABLE": request.analysis_variable,
                "OUTPUT_BUCKET": self.plan.outputs_bucket,
                "OUTPUT_KEY": report_key(request, attempt),
            },
            secrets={**self.plan.secrets, "FILE_URL": SecretStr(link)},
            limits=Limits(memory_bytes=self.plan.memory_bytes),
            labels={
                "workflow-job-id": str(request.workflow_job_id),
                "run-id": item.run_id or "",
            },
        )

    def _adopt_or_launch(
        self, request: JobRequest, spec: AnalysisSpec
    ) -> AttemptId:
        adopted = self._adoptable(spec.attempt)
        if adopted:
            return adopted
        self.launcher.prepare(spec)
        for earlier in stop_earlier(self.launcher, spec.attempt):
            self._put_earlier_away(request, earlier)
        self.launcher.launch(spec)
        return spec.attempt

    def _put_earlier_away(
        self, request: JobRequest, earlier: AttemptId
    ) -> None:
        """Remove an attempt whose worker may have been killed before."""
        try:
            self._keep_log(str(request.workflow_job_id), earlier)
        except (ModerateError, OSError) as error:
            # It does not run, so it may stay until its log can be stored.
            _LOG.warning("%s is left: %s", earlier.name, error)
        else:
            self.launcher.clean_up(earlier)

    def _adoptable(self, attempt: AttemptId) -> AttemptId | None:
        """Return the newest attempt that is at work or has succeeded."""
        known = self.launcher.attempts(attempt.kind, attempt.item_id)
        for earlier in reversed(known):
            status = self.launcher.status(earlier)
            if isinstance(status, Running | Pending):
                return earlier
            if isinstance(status, Finished) and status.outcome.succeeded:
                return earlier
        return None

    def _judge(
        self, request: JobRequest, attempt: AttemptId, outcome: Outcome
    ) -> Report:
        key = report_key(request, attempt)
        bucket = self.plan.outputs_bucket
        if outcome.succeeded and self._is_stored(key):
            return Report(
                attempt, {"output_bucket": bucket, "output_key": key}
            )
        raise self._failure(request, attempt, outcome)

    def _is_stored(self, report: str) -> bool:
        try:
            return self.storage.exists(self.plan.outputs_bucket, report)
        except TemporaryError as error:
            # It succeeded: that S3 is away must not make a failure of it.
            msg = f"It can't be said whether there is a report: {error}"
            raise PostponedError(msg) from error

    def _failure(
        self, request: JobRequest, attempt: AttemptId, outcome: Outcome
    ) -> AnalysisError:
        """Store the log of an attempt that failed, and say why it did.

        Why it did is known, whether or not its log can be read and stored
        now; where it can't, the attempt stays until it could be.
        """
        key = log_key(str(request.workflow_job_id), attempt)
        log, trouble = b"", ""
        try:
            log = self._read_log(attempt)
            self._store_log(key, log)
        except (ModerateError, OSError) as error:
            trouble = f" (its log could not be stored: {error})"
        summary = NO_REPORT if outcome.succeeded else summarise(outcome, log)
        text = f"{summary}{trouble}"
        cause: Exception = TemporaryError(text)
        if not outcome.succeeded:
            cause = error_of(outcome, text)
        if trouble:
            return AnalysisError(cause, None, {"error": summary})
        told = {"error": summary, "error_logs_key": key}
        return AnalysisError(cause, attempt, told)

    def _keep_log(self, job: str, attempt: AttemptId) -> None:
        """Store the log of an attempt if it failed and that wasn't done.

        What is there stays: it may have been followed, and be of a pod that
        is gone.
        """
        status = self.launcher.status(attempt)
        if not isinstance(status, Finished) or status.outcome.succeeded:
            return
        key = log_key(job, attempt)
        if not self.storage.exists(self.plan.outputs_bucket, key):
            self._store_log(key, self._read_log(attempt))

    def _read_log(self, attempt: AttemptId) -> bytes:
        written = self.launcher.logs(attempt, LOG_BYTES)
        # The user gets it, and a library may have printed what it was given.
        return self.redactor.redact(written.decode(errors="replace")).encode()

    def _store_log(self, key: str, log: bytes) -> None:
        self.storage.put(
            self.plan.outputs_bucket,
            key,
            log or b"(nothing was written)\n",
            content_type="text/plain; charset=utf-8",
        )


def report_key(request: JobRequest, attempt: AttemptId) -> str:
    """Return the S3 key of an attempt's report.

    The platform's job id is part of it: an inbox that is made anew counts
    its items from 1 again and must not overwrite another job's report.
    """
    return f"{_stem(str(request.workflow_job_id), attempt)}.html"


def log_key(job: str, attempt: AttemptId) -> str:
    """Return the S3 key of a failed attempt's log."""
    return f"{_stem(job, attempt)}.log"


def _stem(job: str, attempt: AttemptId) -> str:
    return f"matrixprofile-{job}-{attempt.item_id}-{attempt.dispatch}"


def _given_up(error: NoRoomError | UnreachableError) -> ModerateError:
    """Say what it is that patience was lost with."""
    if isinstance(error, UnreachableError):
        return _postponed(Reason.UNREACHABLE, error)
    summary = summarise(Outcome(Reason.NO_CAPACITY))
    cause = TemporaryError(f"{summary} {error}")
    return AnalysisError(cause, None, {"error": summary})


def _postponed(reason: Reason, error: Exception) -> PostponedError:
    told = summarise(Outcome(reason)).rstrip(".")
    return PostponedError(f"{told}: {error}")
