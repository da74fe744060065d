"""Why the trust service was called a second time for the same thing."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby, pairwise
from operator import attrgetter

from pydantic import BaseModel, Field

from moderate.local.platform_api.faults import TaskKind
from moderate.local.platform_api.trust_calls import FAILED, TrustCall


class Why(StrEnum):
    """What the call before had come to when the second one was made."""

    FAILED = "the first had failed"
    UNDER_WAY = "the first was under way"
    API_DIED = "the API had died during the first"
    ENDED_WELL = "the first had ended well"


class SecondCall(BaseModel):
    """A call for a user or object for whom there was one before."""

    kind: TaskKind
    subject: str = Field(description="The username or the object's key.")
    task_id: int
    first_task_id: int = Field(description="Of the call before.")
    why: Why


def explained(
    calls: Sequence[TrustCall], starts: Sequence[str]
) -> Iterator[SecondCall]:
    """Explain every call that was not the first for its subject.

    Args:
        calls: In the order in which they were made.
        starts: When the emulator was started, with what it had written down.
    """
    of = attrgetter("kind", "subject")
    for _, same in groupby(sorted(calls, key=of), key=of):
        for first, second in pairwise(same):
            yield SecondCall(
                kind=second.kind,
                subject=second.subject,
                task_id=second.task_id,
                first_task_id=first.task_id,
                why=_why(first, second, starts),
            )


def _why(first: TrustCall, second: TrustCall, starts: Sequence[str]) -> Why:
    # Times of one form are in the order of their texts.
    ended = first.finished_at
    if ended is not None and ended <= second.started_at:
        return Why.FAILED if first.outcome == FAILED else Why.ENDED_WELL
    if any(first.started_at < each <= second.started_at for each in starts):
        return Why.API_DIED
    return Why.UNDER_WAY
