"""The kinds of work items of this flow, and how each is treated."""

from datetime import timedelta

from moderate.flows.platform_tasks.dids import USER_DID
from moderate.flows.platform_tasks.errands import PEER
from moderate.inbox.model import Backoff, Kind
from moderate.settings import UserDidSettings

FLOW = "user_dids"
RUNS = 2
LONGEST_BACKOFF = timedelta(minutes=30)


def kinds_of(settings: UserDidSettings) -> tuple[Kind]:
    """Return the flow's kind as these settings bound it."""
    return (
        Kind(
            USER_DID,
            flow=FLOW,
            batch_size=settings.batch_size,
            slots=RUNS,
            max_failures=settings.max_failures,
            backoff=Backoff(settings.backoff_base, LONGEST_BACKOFF),
            peer=PEER,
        ),
    )
