"""The runs: one analysis each, and batches of final words."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from dagster import (
    DagsterExecutionInterruptedError,
    Failure,
    MetadataValue,
    OpExecutionContext,
    ResourceParam,
    RunRequest,
    in_process_executor,
    job,
    op,
)

from moderate.analyses.launcher import AttemptId
from moderate.clients.platform_api import PlatformApi
from moderate.errors import ModerateError
from moderate.flows import tags
from moderate.flows.kubernetes_jobs import configured_job, op_tags
from moderate.flows.matrix_profile import results
from moderate.flows.matrix_profile.analysis import (
    Analysis,
    AnalysisError,
    PostponedError,
)
from moderate.flows.matrix_profile.kinds import FLOW
from moderate.flows.matrix_profile.messages import KIND
from moderate.flows.matrix_profile.wiring import analysis_of
from moderate.flows.ticks import CANCELLED_OUTCOME, run_request
from moderate.flows.work import (
    BatchConfig,
    Heart,
    RunCancelledError,
    bind,
    is_cancelled,
    keep_trying,
)
from moderate.inbox.lease import Ended, Lease, LeaseLostError
from moderate.inbox.model import Dispatch, Json, NewItem, Retry, WorkItem
from moderate.inbox.store import Inbox
from moderate.logs import log_context
from moderate.resources import (
    InboxSource,
    PlatformApiResource,
    S3Resource,
    redactor,
)
from moderate.settings import process_settings

ANALYSIS_OP = "run_matrix_profile"
RESULTS_OP = "publish_matrix_profile_result"

POSTPONED = timedelta(minutes=1)
"""Until an item is tried again that nothing could be said of."""


@op(
    name=ANALYSIS_OP,
    tags=op_tags(process_settings()),
    description="Run one analysis, or adopt one that runs, and record its"
    " outcome. Twice is harmless: see `flows/matrix_profile/analysis.py`.",
)
def matrix_profile_op(
    context: OpExecutionContext,
    config: BatchConfig,
    inbox: ResourceParam[InboxSource],
    platform_api: PlatformApiResource,
    s3_object_storage: S3Resource,
) -> None:
    """Work on one item of kind ``matrix_profile``."""
    settings = process_settings()
    store = inbox.open()
    lease = bind(context, store, config.batch_id, KIND)
    if lease is None:
        return
    heart = Heart(lease, context, settings.service.heartbeat_interval)
    analysis = analysis_of(
        settings, s3_object_storage, job=configured_job(context, settings)
    )
    worker = _Worker(context, lease, analysis)
    with log_context(run_id=context.run_id, kind=KIND, item=worker.key):
        word = worker.work(heart.beat)
        if word:
            _tell_now(context, store, platform_api.client(), word)
    worker.show_failure()


class _Worker:
    """One bound item, its analysis, and what becomes of it."""

    def __init__(
        self,
        context: OpExecutionContext,
        lease: Lease,
        analysis: Analysis,
    ) -> None:
        self._context = context
        self._lease = lease
        self._item = lease.items[0]
        self._analysis = analysis
        self._failure: Failure | None = None

    @property
    def key(self) -> str:
        """The item's key: the platform's job."""
        return self._item.key

    def work(self, beat: Callable[[], None]) -> NewItem | None:
        """Do the item; return its final word if it has ended."""
        try:
            keep_trying(self._lease.begin)([self._item])
            return self._perform(beat)
        except LeaseLostError as error:
            self._leave_alone(error)
            return None
        except RunCancelledError:
            self._cancel()
            raise DagsterExecutionInterruptedError from None
        except DagsterExecutionInterruptedError:
            self._interrupted()
            raise

    def _perform(self, beat: Callable[[], None]) -> NewItem | None:
        try:
            report = self._analysis.perform(self._item, beat)
        except (LeaseLostError, RunCancelledError):
            raise  # says nothing about the analysis
        except PostponedError as error:
            self._postpone(error)
            return None
        except AnalysisError as error:
            word = self._failed(error.cause, error.outcome)
            self._put_away(error.attempt)
            return word
        except Exception as error:  # noqa: BLE001  # an unknown error: capped
            return self._failed(
                error, {"error": "The analysis could not be done."}
            )
        ended = keep_trying(self._lease.done)(self._item, report.outcome)
        self._end_analysis()
        self._context.add_output_metadata(
            {
                **_facts(self._item),
                "failures": MetadataValue.int(self._item.failures),
                "report": f"s3://{report.outcome['output_bucket']}"
                f"/{report.outcome['output_key']}",
                "attempt": report.attempt.name,
            }
        )
        return ended.word

    def _failed(self, error: Exception, outcome: Json) -> NewItem | None:
        reason = redactor().redact(f"{type(error).__name__}: {error}")
        after = keep_trying(self._lease.failed)(
            self._item, error, reason=reason, outcome=outcome
        )
        self._context.log.error(redactor().redact_exception(error))
        self._failure = _failure(self._item, after, reason)
        if isinstance(after, Ended):
            self._end_analysis()
            return after.word
        return None

    def _postpone(self, error: PostponedError) -> None:
        """Give the item back, for as long as somebody is away: uncounted."""
        reason = redactor().redact(str(error))
        keep_trying(self._lease.release)(delay=POSTPONED, reason=reason)
        tale = _tale(Retry(POSTPONED), f"{reason} (no failure is counted)")
        self._failure = Failure(
            tale,
            metadata={
                **_facts(self._item),
                "failures": MetadataValue.int(self._item.failures),
                "next attempt": _next_attempt(Retry(POSTPONED)),
                "reason": MetadataValue.text(reason),
            },
            allow_retries=False,
        )

    def _put_away(self, attempt: AttemptId | None) -> None:
        """Remove what is stored by now; the next attempt does it else."""
        if attempt is None:
            return
        try:
            self._analysis.put_away(attempt)
        except (ModerateError, OSError) as error:
            self._context.log.warning("the attempt is left: %s", error)

    def _end_analysis(self) -> None:
        """Leave nothing behind; what can't be ended now, a sensor ends."""
        try:
            self._analysis.end(self._item)
        except (ModerateError, OSError) as error:
            self._context.log.warning("the analysis is left: %s", error)

    def _leave_alone(self, error: LeaseLostError) -> None:
        # Whoever took the item has its analysis too.
        self._context.log.warning("%s: ending without effects", error)

    def _interrupted(self) -> None:
        if is_cancelled(self._context.instance, self._context.run_id):
            self._cancel()
        else:
            # An eviction: the analysis goes on, and the next run adopts it.
            self._lease.release()

    def _cancel(self) -> None:
        try:
            keep_trying(self._lease.beat)()  # or it is another's to stop
            self._end_analysis()
            keep_trying(self._lease.cancelled)(self._item, CANCELLED_OUTCOME)
        except LeaseLostError as error:
            self._leave_alone(error)

    def show_failure(self) -> None:
        """Let the run end red if the attempt failed.

        Raises:
            Failure: Says what failed and what happens next.
        """
        if self._failure:
            raise self._failure from None


def _failure(item: WorkItem, after: Ended | Retry, reason: str) -> Failure:
    """Return how a run ends whose attempt failed, with the item's figures.

    Args:
        item: As it was when the run bound it.
        after: What was decided.
        reason: Why it failed, without secrets.
    """
    return Failure(
        _tale(after, reason),
        metadata={
            **_facts(item),
            "failures": MetadataValue.int(item.failures + 1),
            "next attempt": _next_attempt(after),
            "reason": MetadataValue.text(reason),
        },
        allow_retries=False,
    )


def _facts(item: WorkItem) -> Mapping[str, MetadataValue]:
    return {
        "item": MetadataValue.int(item.id),
        "platform job": MetadataValue.text(item.key),
    }


def _next_attempt(after: Ended | Retry) -> MetadataValue:
    """Say when; by this machine's clock, so for people only."""
    if isinstance(after, Ended):
        return MetadataValue.text("none, by itself: it is dead")
    then = datetime.now(UTC) + after.delay
    return MetadataValue.text(then.isoformat(" ", "seconds"))


def _tale(after: Ended | Retry, reason: str) -> str:
    if isinstance(after, Retry):
        seconds = after.delay.total_seconds()
        return f"{reason} (tried again in {seconds:.0f} s)"
    return (
        f"{reason} (dead: look at it with `moderate inbox show"
        f" {after.item.id}`, try again with `moderate inbox retry"
        f" {after.item.id} --why …`)"
    )


def _tell_now(
    context: OpExecutionContext, inbox: Inbox, api: PlatformApi, word: NewItem
) -> None:
    """Tell the platform at once; if that fails, the word stays an item."""
    lease = inbox.take_now(word.kind, word.key, context.run_id)
    if lease is None:
        return
    told = _tell(inbox, lease, lease.items[0], api)
    context.log.info("platform job result: %s", told)


def _tell(inbox: Inbox, lease: Lease, item: WorkItem, api: PlatformApi) -> str:
    """Tell one final word and record what became of it."""
    lease.begin([item])
    try:
        told = results.tell(inbox, api, item)
    except Exception as error:  # noqa: BLE001  # recorded on the item
        reason = redactor().redact(f"{type(error).__name__}: {error}")
        after = lease.failed(item, error, reason=reason)
        return _tale(after, reason)
    lease.done(item, results.outcome_of(told))
    return str(told)


@op(
    name=RESULTS_OP,
    description="Tell the platform the stored results of its jobs. Twice is"
    " harmless: a job that has the result already is left alone.",
)
def platform_job_results_op(
    context: OpExecutionContext,
    config: BatchConfig,
    inbox: ResourceParam[InboxSource],
    platform_api: PlatformApiResource,
) -> None:
    """Work on a batch of items of kind ``platform_job_result``."""
    store = inbox.open()
    lease = bind(context, store, config.batch_id, results.KIND)
    if lease is None:
        return
    heart = Heart(
        lease, context, process_settings().service.heartbeat_interval
    )
    api = platform_api.client()
    rows: list[tuple[WorkItem, str]] = []
    try:
        for item in lease.items:
            heart.beat()
            rows.append((item, _tell(store, lease, item, api)))
    except LeaseLostError as error:
        context.log.warning("%s: ending without effects", error)
    except (RunCancelledError, DagsterExecutionInterruptedError):
        _release_all(lease)
    context.add_output_metadata({"results": _table(rows)})


def _release_all(lease: Lease) -> NoReturn:
    """Give back what was not told: nobody may cancel a final word."""
    lease.release(delay=timedelta(seconds=5))
    raise DagsterExecutionInterruptedError from None


def _table(rows: list[tuple[WorkItem, str]]) -> MetadataValue:
    lines = [
        f"| {item.id} | {item.payload['results']['workflow_job_id']}"
        f" | {told.replace('|', '/')} |"
        for item, told in rows
    ]
    return MetadataValue.md(
        "\n".join(
            ["| item | platform job | what happened |", "|-|-|-|", *lines]
        )
    )


@job(
    executor_def=in_process_executor,
    tags={tags.FLOW: FLOW, **tags.NO_RUN_RETRIES},
    description="One job message of the platform becomes a report in S3.",
)
def matrix_profile_job() -> None:
    """Analyse one time series."""
    matrix_profile_op()


@job(
    executor_def=in_process_executor,
    tags={tags.FLOW: FLOW, **tags.NO_RUN_RETRIES},
    description="The platform is told results that it could not be told at"
    " once.",
)
def platform_job_results_job() -> None:
    """Tell stored results."""
    platform_job_results_op()


def analysis_request(dispatch: Dispatch) -> RunRequest:
    """Build the request of the run of one analysis."""
    return run_request(
        dispatch,
        job=matrix_profile_job.name,
        op=ANALYSIS_OP,
        extra_tags={"workflow_job_id": dispatch.item_key},
    )


def results_request(dispatch: Dispatch) -> RunRequest:
    """Build the request of the run that tells a batch of results."""
    return run_request(
        dispatch, job=platform_job_results_job.name, op=RESULTS_OP
    )
