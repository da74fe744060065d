"""One tick of a sensor, whatever its source: in, settled, out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dagster import (
    AssetMaterialization,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
)

from moderate.errors import ModerateError
from moderate.flows.ticks import (
    Patience,
    RunRequestOf,
    Stopwatch,
    requests,
    settle,
    told,
)
from moderate.inbox.store import Inbox
from moderate.settings import process_settings


@dataclass(frozen=True)
class Intake:
    """What a tick got from its source, or why it got nothing.

    Attributes:
        said: That, in a phrase.
        is_news: Whether it is worth a line in the tick's log.
        trouble: Why the source could not be read.
        counted: What the tick counted there.
    """

    said: str
    is_news: bool = True
    trouble: ModerateError | None = None
    counted: Sequence[AssetMaterialization] = ()


def tick(
    context: SensorEvaluationContext,
    store: Inbox,
    take_in: Callable[[], Intake],
    makers: Mapping[str, RunRequestOf],
) -> SensorResult:
    """Take in what is new; settle, dispatch and request what is due.

    Args:
        context: Of the sensor.
        store: The inbox.
        take_in: Reads the source into the inbox. A source that is away must
            not stop what is due: it says so in the ``trouble`` it returns.
        makers: What makes the run request of each kind.

    Raises:
        ModerateError: The source could not be read, and nothing else was to
            be done: the tick is shown as failed.
    """
    settings = process_settings()
    watch = Stopwatch()
    intake = take_in()
    watch.lap("intake")
    settled = settle(
        store,
        context.instance,
        list(makers),
        Patience(
            settings.service.heartbeat_timeout,
            settings.service.dispatch_grace,
        ),
    )
    watch.lap("settling")
    wanted = requests(store, makers, age=settings.fast_path.left_to_it)
    watch.lap("requests")
    said = told(intake.said, settled, wanted, watch)
    if intake.trouble and not wanted:
        raise intake.trouble
    if intake.is_news or settled.freed or settled.cancelled or wanted:
        # Dagster keeps a file for each tick that logs: not for idle ones. A
        # tick that asks for runs has no other line: they have no reason.
        context.log.info(said)
    return SensorResult(
        run_requests=wanted,
        skip_reason=None if wanted else SkipReason(said),
        asset_events=intake.counted,
    )
