"""What the broker lost is found again.

Job messages are transient: a broker restart, or a queue that did not exist
yet, drops them, and the platform's job stays open for ever. This walk goes
over the platform's jobs by id, upward from a cursor. Below the cursor every
job is finalised or in the inbox, whose final word will close it. The cursor
stops at the first open job that is too young to be called lost.

Ids have gaps, so a missing one is not the end. The walk has seen everything
when as many jobs have answered as the platform's table holds, and some ids
beyond hold nothing either. Of jobs younger than the grace none is passed,
finalised or not: an id just below may belong to a transaction that is still
open. A gap that one tick can't cross is crossed by the next ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from moderate.clients.platform_models import AssetObject, Job
from moderate.errors import PermanentError
from moderate.flows.matrix_profile.messages import (
    KIND,
    MAX_JOB_ID,
    JobRequest,
    item_of,
    request_of,
)
from moderate.inbox.model import NewItem, State

CURSOR = "matrix_profile.reconcile"

JOB_TYPE = "matrix_profile"
"""The platform's name of the jobs that are ours."""

PROBES = 5
"""Ids looked at beyond the last job, as the table's count may be off."""

MAX_GAP = 1_000_000
"""Missing ids in a row after which the walk goes back to the gap's start: the
count promises a job that is nowhere."""


class Position(BaseModel):
    """Where the walk goes on.

    Attributes:
        next_id: The first job that is not known to be settled.
        answered: How many jobs exist below it.
        missing: How many ids from there on were seen to hold none.
    """

    model_config = ConfigDict(frozen=True)

    next_id: int = Field(default=1, ge=1)
    answered: int = Field(default=0, ge=0)
    missing: int = Field(default=0, ge=0)

    def after_missing(self) -> "Position":
        """Return the place one id further into a gap."""
        missing = (self.missing + 1) % MAX_GAP
        return self.model_copy(update={"missing": missing})

    def after_found(self) -> "Position":
        """Return the place beyond a job that is settled."""
        return Position(next_id=self.probe + 1, answered=self.answered + 1)

    @property
    def probe(self) -> int:
        """The id to ask for."""
        return self.next_id + self.missing


class JobReader(Protocol):
    """What the walk needs of the platform API."""

    def count_jobs(self) -> int:
        """Return how many jobs the table holds."""
        ...

    def get_job(self, job_id: int) -> Job | None:
        """Return a job, or ``None`` if there is none of that id."""
        ...

    def get_object(self, object_id: int) -> AssetObject | None:
        """Return an asset's object, or ``None`` if it is gone."""
        ...


@dataclass(frozen=True)
class Found:
    """What a walk came to.

    Attributes:
        position: Where the next one goes on.
        lost: The items of lost jobs, in the order of their ids.
        asked: How many jobs were asked for.
    """

    position: Position
    lost: tuple[NewItem, ...] = ()
    asked: int = 0


def walk(
    api: JobReader,
    start: Position,
    *,
    is_known: Callable[[Job], bool],
    now: datetime,
    grace: timedelta,
    limit: int,
    in_time: Callable[[], bool],
) -> Found:
    """Look at jobs upward from ``start``.

    Args:
        api: The platform API.
        start: Where to start.
        is_known: Whether a job is in the inbox already.
        now: The inbox's clock (UTC).
        grace: Age below which an open job may still have its message.
        limit: Jobs asked for at the most.
        in_time: Whether there is time for another one.
    """
    total = api.count_jobs()
    # More have answered than there are: some were deleted, and the count no
    # longer says where the end is. Begin again; what is settled costs a read.
    found = Found(start if start.answered <= total else Position())
    while found.asked < limit and in_time() and not _at_end(found, total):
        job = api.get_job(found.position.probe)
        found = replace(found, asked=found.asked + 1)
        if job is None:
            found = replace(found, position=found.position.after_missing())
            continue
        if now - job.created_at < grace:
            break
        found = replace(found, position=found.position.after_found())
        if _is_open(job) and not is_known(job):
            lost = (*found.lost, item_of_lost_job(job, api))
            found = replace(found, lost=lost)
    if found.position.answered >= total:
        # The probes beyond the last job are made again next time.
        end = found.position.model_copy(update={"missing": 0})
        found = replace(found, position=end)
    return found


def _is_open(job: Job) -> bool:
    return job.job_type == JOB_TYPE and job.finalised_at is None


def _at_end(found: Found, total: int) -> bool:
    place = found.position
    if place.probe > MAX_JOB_ID:
        return True
    return place.answered >= total and place.missing >= PROBES


def item_of_lost_job(job: Job, api: JobReader) -> NewItem:
    """Make the work item of a job whose message was lost.

    A job that can't be turned into one is dead, and the platform is told.
    """
    try:
        return item_of(_request_of(job, api))
    except PermanentError as error:
        return _dead(job, str(error))


def _request_of(job: Job, api: JobReader) -> JobRequest:
    """Make again what the job's message said.

    Raises:
        PermanentError: There is no such object, or the arguments are no use.
    """
    found = None if job.object_id is None else api.get_object(job.object_id)
    if found is None:
        msg = "the object that it names does not exist"
        raise PermanentError(msg)
    return request_of(
        {
            "workflow_job_id": job.id,
            "analysis_variable": job.analysis_variable,
            "bucket": found.bucket,
            "key": found.key,
        }
    )


def _dead(job: Job, reason: str) -> NewItem:
    return NewItem(
        KIND,
        str(job.id),
        {"workflow_job_id": job.id},
        State.DEAD,
        f"lost job can't be done: {reason}",
        {"error": f"The analysis could not be started: {reason}."},
    )
