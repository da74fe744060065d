"""The kinds of work items of this flow, and how each is treated."""

from datetime import timedelta

from moderate.flows.matrix_profile import messages, results
from moderate.inbox.model import Backoff, Kind
from moderate.settings import MatrixProfileSettings

FLOW = "matrix_profile"

RESULTS_PER_RUN = 100
RESULT_RUNS = 2
RESULT_FAILURES = 10_000
"""Failures until a final word is dead: at the cap of the backoff that is more
than a month of an unreachable platform."""

RESULT_BACKOFF = Backoff(timedelta(seconds=5), timedelta(minutes=5))


def kinds(
    *, max_concurrent: int, max_failures: int, backoff_base: timedelta
) -> tuple[Kind, Kind]:
    """Return the flow's kinds.

    Args:
        max_concurrent: Analyses that run at once.
        max_failures: Failed attempts after which a message is dead.
        backoff_base: The wait before the second attempt.
    """
    return (
        Kind(
            messages.KIND,
            flow=FLOW,
            batch_size=1,
            slots=max_concurrent,
            max_failures=max_failures,
            backoff=Backoff(backoff_base),
            final_word=results.final_word,
            cancellable=True,
        ),
        Kind(
            results.KIND,
            flow=FLOW,
            batch_size=RESULTS_PER_RUN,
            slots=RESULT_RUNS,
            max_failures=RESULT_FAILURES,
            backoff=RESULT_BACKOFF,
        ),
    )


def kinds_of(settings: MatrixProfileSettings) -> tuple[Kind, Kind]:
    """Return the flow's kinds as these settings bound them."""
    return kinds(
        max_concurrent=settings.max_concurrent,
        max_failures=settings.max_failures,
        backoff_base=settings.backoff_base,
    )
