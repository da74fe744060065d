"""One analysis, from the item's payload to a report in S3 or a reason.

Twice is harmless: an attempt's name, its process and its report's key derive
from item and dispatch number. An earlier attempt that is still at work, or
has succeeded, is adopted; any other is seen gone before a new one starts.
"""

import sys
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
    Pending,
    Running,
    stop_earlier,
    wait_until_finished,
)
from moderate.analyses.outcomes import Outcome, error_of, summarise
from moderate.clients.object_storage import ObjectStorage
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

NO_REPORT = "The analysis ended well but left no report."


@dataclass(frozen=True)
class Plan:
    """What every analysis of this service has in common.

    Attributes:
        rule: Which images may run.
        outputs_bucket: Bucket of reports and error logs.
        env: Plain environment of the workload.
        secrets: Its secret environment.
        timeout: How long one may take; also the life of the data's link.
        memory_bytes: Memory that one may use.
        command: What runs it.
    """

    rule: ImageRule
    outputs_bucket: str
    env: Mapping[str, str]
    secrets: Mapping[str, SecretStr]
    timeout: timedelta
    memory_bytes: int
    command: tuple[str, ...] = COMMAND


@dataclass(frozen=True)
class Report:
    """A report that lies in S3."""

    attempt: AttemptId
    outcome: Json


class AnalysisError(ModerateError):
    """An attempt failed; ``cause`` is of the kind that decides the retry.

    Attributes:
        cause: The error that the inbox decides on.
        attempt: The attempt that failed, if one was launched.
        outcome: What the platform is told if there is no further attempt.
    """

    def __init__(
        self, cause: Exception, attempt: AttemptId | None, outcome: Json
    ) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.attempt = attempt
        self.outcome = outcome


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
        """
        try:
            request = request_of(item.payload)
            spec = self._spec(item, request)
        except PermanentError as error:
            told = {"error": f"The job's message can't be used: {error}"}
            raise AnalysisError(error, None, told) from error
        attempt = self._adopt_or_launch(request, spec)
        outcome = wait_until_finished(
            self.launcher, attempt, interval=POLL, beat=beat
        )
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
            TemporaryError: Something could not be ended yet.
        """
        for attempt in self.launcher.attempts(ATTEMPT_KIND, item.id):
            self.launcher.stop(attempt)
            self.launcher.clean_up(attempt)

    def _spec(self, item: WorkItem, request: JobRequest) -> AnalysisSpec:
        attempt = AttemptId(ATTEMPT_KIND, item.id, item.dispatch)
        link = self.storage.presigned_get(
            request.bucket, request.key, self.plan.timeout
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
            # Its worker may have been killed before it stored the log.
            if isinstance(self.launcher.status(earlier), Finished):
                self._store_log(request, earlier)
            self.launcher.clean_up(earlier)
        self.launcher.launch(spec)
        return spec.attempt

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
        if outcome.succeeded and self.storage.exists(bucket, key):
            return Report(
                attempt, {"output_bucket": bucket, "output_key": key}
            )
        raise self._failure(request, attempt, outcome)

    def _failure(
        self, request: JobRequest, attempt: AttemptId, outcome: Outcome
    ) -> AnalysisError:
        """Store the log of an attempt that failed, and say why it did."""
        log = self._store_log(request, attempt)
        cause: Exception
        if outcome.succeeded:
            summary = NO_REPORT
            cause = TemporaryError(summary)
        else:
            summary = summarise(outcome, log)
            cause = error_of(outcome, summary)
        told = {"error": summary, "error_logs_key": log_key(request, attempt)}
        return AnalysisError(cause, attempt, told)

    def _store_log(self, request: JobRequest, attempt: AttemptId) -> bytes:
        """Put an attempt's log into S3, and return it."""
        written = self.launcher.logs(attempt, LOG_BYTES)
        # The user gets it, and a library may have printed what it was given.
        log = self.redactor.redact(written.decode(errors="replace")).encode()
        self.storage.put(
            self.plan.outputs_bucket,
            log_key(request, attempt),
            log or b"(nothing was written)\n",
            content_type="text/plain; charset=utf-8",
        )
        return log


def report_key(request: JobRequest, attempt: AttemptId) -> str:
    """Return the S3 key of an attempt's report.

    The platform's job id is part of it: an inbox that is made anew counts
    its items from 1 again and must not overwrite another job's report.
    """
    return f"{_stem(request, attempt)}.html"


def log_key(request: JobRequest, attempt: AttemptId) -> str:
    """Return the S3 key of a failed attempt's log."""
    return f"{_stem(request, attempt)}.log"


def _stem(request: JobRequest, attempt: AttemptId) -> str:
    return (
        f"matrixprofile-{request.workflow_job_id}"
        f"-{attempt.item_id}-{attempt.dispatch}"
    )
