"""The final word: the platform's job is told its outcome, once.

Twice is harmless: the platform is asked first, and a job that already has
this very result is left alone. One that already has another result keeps it,
unless a person retried the item by hand: then the newer word replaces it.
"""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from moderate.clients.platform_api import PlatformApi
from moderate.clients.platform_models import JobResults
from moderate.errors import PermanentError, TemporaryError
from moderate.inbox import admin
from moderate.inbox.model import FINAL_STATES, Json, NewItem, WorkItem
from moderate.inbox.store import Inbox

KIND = "platform_job_result"
"""Kind of the items that tell the platform."""

MAX_ERROR_CHARS = 500


class Told(StrEnum):
    """What became of a final word."""

    TOLD = "told"
    ALREADY = "the job had this result already"
    KEPT = "the job had another result, which stays"
    SUPERSEDED = "the item was retried since"


class Word(BaseModel):
    """The stored text, and which end of which item it is of."""

    model_config = ConfigDict(frozen=True)

    item_id: int
    dispatch: int
    results: JobResults


def final_word(item: WorkItem) -> NewItem | None:
    """Make the final word of a matrix profile item that has just ended.

    A rejected message that names no job has nobody to tell.
    """
    job_id = item.payload.get("workflow_job_id")
    if not isinstance(job_id, int):
        return None
    word = Word(
        item_id=item.id,
        dispatch=item.dispatch,
        results=_results(job_id, item),
    )
    return NewItem(
        KIND, f"{item.id}/{item.dispatch}", word.model_dump(mode="json")
    )


def _results(job_id: int, item: WorkItem) -> JobResults:
    outcome = item.outcome or {}
    if "output_key" in outcome:
        return JobResults(
            workflow_job_id=job_id,
            output_bucket=outcome["output_bucket"],
            output_key=outcome["output_key"],
        )
    error = outcome.get("error") or _without_outcome(item)
    return JobResults(
        workflow_job_id=job_id,
        error=str(error)[:MAX_ERROR_CHARS],
        error_logs_key=outcome.get("error_logs_key"),
    )


def _without_outcome(item: WorkItem) -> str:
    if item.state == "cancelled":
        return "The analysis was cancelled."
    return (
        "The analysis could not be finished: its worker ended"
        f" {item.failures} time(s) without a result."
    )


def tell(inbox: Inbox, api: PlatformApi, item: WorkItem) -> Told:
    """Tell the platform a stored final word.

    Args:
        inbox: Where the item that has ended is looked up.
        api: The platform API.
        item: The final-word item.

    Raises:
        PermanentError: The platform does not know the job.
        TemporaryError: The platform can't be told now, or it is open
            whether the word stands.
    """
    word = Word.model_validate(item.payload)
    standing = _standing(inbox, word)
    if standing.superseded:
        return Told.SUPERSEDED
    if standing.open:
        # Dropped before it begins, the item leaves this word standing.
        msg = f"item {word.item_id} is about to be tried again"
        raise TemporaryError(msg)
    job = api.get_job(word.results.workflow_job_id)
    if job is None:
        msg = f"the platform has no job {word.results.workflow_job_id}"
        raise PermanentError(msg)
    if job.finalised_at is not None:
        if job.results == word.results.model_dump():
            return Told.ALREADY
        if not standing.retried_by_hand:
            return Told.KEPT
    api.finalise_job(word.results.workflow_job_id, word.results)
    return Told.TOLD


@dataclass(frozen=True)
class _Standing:
    """Whether a word still stands, and may replace another.

    Attributes:
        superseded: The item was tried again since.
        open: It is about to be.
        retried_by_hand: A person wanted another word.
    """

    superseded: bool
    open: bool
    retried_by_hand: bool


def _standing(inbox: Inbox, word: Word) -> _Standing:
    with inbox.transaction() as conn:
        item = admin.get_item(conn, word.item_id)
        audit = admin.audit_of(conn, word.item_id)
    return _Standing(
        superseded=item is not None and item.dispatch != word.dispatch,
        open=item is not None and item.state not in FINAL_STATES,
        retried_by_hand=any(entry.action == admin.RETRY for entry in audit),
    )


def outcome_of(told: Told) -> Json:
    """Return what the inbox keeps of a word that was told."""
    return {"told": told.name.lower(), "note": str(told)}
