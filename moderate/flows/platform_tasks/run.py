"""The op of a flow whose batches are tasks of the platform API."""

from datetime import timedelta

from dagster import (
    DagsterExecutionInterruptedError,
    Failure,
    OpExecutionContext,
)

from moderate.clients.platform_api import PlatformApi
from moderate.flows.platform_tasks.batch import TaskBatch
from moderate.flows.platform_tasks.errands import Bounds, Errand
from moderate.flows.platform_tasks.sight import ApiAwayError
from moderate.flows.work import Heart, RunCancelledError, bind
from moderate.inbox.lease import LeaseLostError
from moderate.inbox.store import Inbox
from moderate.logs import log_context
from moderate.resources import given, redactor
from moderate.settings import PlatformApiSettings, process_settings

LEFT_ALONE = timedelta(seconds=30)
"""How long an item whose task may be at work is left alone after its run."""


def carry_out(
    context: OpExecutionContext,
    inbox: Inbox,
    batch: int,
    kind: str,
    errand: Errand,
    api: PlatformApi,
) -> None:
    """Bind a batch, work through it, and show a table of what became of it.

    Raises:
        DagsterExecutionInterruptedError: The run was cancelled or evicted;
            what was not over was given back.
        Failure: The platform API stayed away; nothing was counted.
    """
    lease = bind(context, inbox, batch, kind)
    if lease is None:
        return
    settings = process_settings()
    heart = Heart(lease, context, settings.service.heartbeat_interval)
    platform = given(settings.platform_api, PlatformApiSettings)
    tasks = TaskBatch(
        lease,
        errand,
        api,
        Bounds(
            platform.tasks_in_flight,
            platform.task_timeout,
            platform.task_limit,
        ),
        beat=heart.beat,
        redactor=redactor(),
    )
    with log_context(run_id=context.run_id, kind=kind):
        _work(context, tasks)
    context.add_output_metadata(tasks.report.metadata())


def _work(context: OpExecutionContext, tasks: TaskBatch) -> None:
    try:
        tasks.work()
    except LeaseLostError as error:
        context.log.warning("%s: ending without effects", error)
    except (RunCancelledError, DagsterExecutionInterruptedError):
        tasks.give_back(LEFT_ALONE)
        raise DagsterExecutionInterruptedError from None
    except ApiAwayError as error:
        tasks.give_back(LEFT_ALONE)
        raise Failure(
            f"The platform API is away: {error}",
            metadata=tasks.report.metadata(),
            allow_retries=False,
        ) from None
