"""What the broker lost is found again.

Job messages are transient: a broker restart, or a queue that did not exist
yet, drops them, and the platform's job stays open for ever. This walk goes
over the platform's jobs by id, upward from a cursor. Below the cursor every
job is finalised or in the inbox, whose final word will close it. The cursor
stops at the first open job that is too young to be called lost.

Ids have gaps, so a missing one is not the end. The walk has seen everything
when as many jobs have answered as the platform's table holds, and some ids
beyond hold nothing either; a count that jobs were deleted from can only make
it look further, at the next tick.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moderate.clients.platform_api import AssetObject, Job
from moderate.flows.matrix_profile.messages import (
    KIND,
    MAX_JOB_ID,
    JobRequest,
    item_of,
)
from moderate.inbox.model import NewItem, State

CURSOR = "matrix_profile.reconcile"

PROBES = 5
"""Ids looked at beyond the last job, as the table's count may be off."""

MAX_GAP = 1_000
"""Missing ids in a row after which one tick gives up looking further."""


class Position(BaseModel):
    """Where the walk goes on.

    Attributes:
        next_id: The first job that is not known to be settled.
        answered: How many jobs exist below it.
    """

    model_config = ConfigDict(frozen=True)

    next_id: int = Field(default=1, ge=1)
    answered: int = Field(default=0, ge=0)


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
        open_jobs: Open jobs past their grace, in the order of their ids.
        asked: How many jobs were asked for.
    """

    position: Position
    open_jobs: tuple[Job, ...] = ()
    asked: int = 0


def walk(
    api: JobReader,
    start: Position,
    *,
    now: datetime,
    grace: timedelta,
    limit: int,
    in_time: Callable[[], bool],
) -> Found:
    """Look at jobs upward from ``start``.

    Args:
        api: The platform API.
        start: Where to start.
        now: The inbox's clock (UTC).
        grace: Age below which an open job may still have its message.
        limit: Jobs asked for at the most.
        in_time: Whether there is time for another one.
    """
    total = api.count_jobs()
    # More have answered than there are: some were deleted, and the count no
    # longer says where the end is. Begin again; what is settled costs a read.
    found = Found(start if start.answered <= total else Position())
    probe = found.position.next_id
    answered = found.position.answered
    missing = 0
    while found.asked < limit and probe <= MAX_JOB_ID and in_time():
        if missing >= (PROBES if answered >= total else MAX_GAP):
            break
        job = api.get_job(probe)
        found = replace(found, asked=found.asked + 1)
        probe += 1
        if job is None:
            missing += 1
            continue
        if job.finalised_at is None and now - job.created_at < grace:
            break
        missing, answered = 0, answered + 1
        position = Position(next_id=probe, answered=answered)
        found = replace(found, position=position)
        if job.finalised_at is None:
            found = replace(found, open_jobs=(*found.open_jobs, job))
    return found


def item_of_lost_job(job: Job, api: JobReader, bucket: str) -> NewItem:
    """Make the work item of a job whose message was lost.

    A job that can't be turned into one is dead, and the platform is told.

    Args:
        job: The open job.
        api: Where its object is looked up.
        bucket: The platform's bucket, which objects don't name.
    """
    arguments = job.arguments or {}
    object_id = arguments.get("uploaded_s3_object_id")
    found = api.get_object(object_id) if isinstance(object_id, int) else None
    if found is None:
        return _dead(job, "the object that it names does not exist")
    try:
        request = JobRequest(
            workflow_job_id=job.id,
            analysis_variable=arguments.get("analysis_variable"),
            bucket=bucket,
            key=found.key,
        )
    except ValidationError as error:
        return _dead(job, f"its arguments can't be used ({error.title})")
    return item_of(request)


def _dead(job: Job, reason: str) -> NewItem:
    return NewItem(
        KIND,
        str(job.id),
        {"workflow_job_id": job.id},
        State.DEAD,
        f"lost job can't be done: {reason}",
        {"error": f"The analysis could not be started: {reason}."},
    )
