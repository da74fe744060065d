"""Which objects are looked at, and how far that brings the cursor.

Objects that lack a proof are listed by ascending number. What lies above the
head of the last look is news. But an object may become visible after one with
a higher number, as its upload took longer; so what lies below the head is
looked at once more when that can't happen any more, and only then counts as
settled::

    0 ........ settled ........ mark ........ head ........
      all in       looked at again    read once     news
      the inbox    when the mark is
                   old enough

At or below ``settled`` every open object is in the inbox, or was uploaded in
a transaction that took longer than the look back. For such cases, and for
what nobody thought of, ``settled`` goes back to 0 from time to time.

Objects that have their proof are not listed: a look costs by what is open.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from moderate.clients.errors import UnreadableAnswer
from moderate.clients.platform_models import AssetObject

CURSOR = "asset_proofs.objects"


class Position(BaseModel):
    """How far the platform's objects have been looked at.

    Attributes:
        head: The highest number that was read.
        mark: The head at ``marked_at``.
        settled: Up to here every open object is in the inbox.
        marked_at: When the mark was set, by the inbox's clock.
        reconciled_at: When ``settled`` went back to 0.
    """

    model_config = ConfigDict(frozen=True)

    head: int = Field(default=0, ge=0)
    mark: int = Field(default=0, ge=0)
    settled: int = Field(default=0, ge=0)
    marked_at: AwareDatetime | None = None
    reconciled_at: AwareDatetime | None = None

    def at(self, now: datetime, reconcile: timedelta) -> "Position":
        """Return the position as it is at a time.

        A time that lies ahead was set by a clock that has gone back since:
        waiting begins anew.
        """
        changes: dict[str, object] = {}
        if self.marked_at is None or self.marked_at > now:
            changes |= {"mark": self.head, "marked_at": now}
        if self.reconciled_at is None:
            changes |= {"reconciled_at": now}
        elif not timedelta() <= now - self.reconciled_at < reconcile:
            changes |= {"settled": 0, "reconciled_at": now}
        return self.model_copy(update=changes)

    def is_ripe(self, now: datetime, look_back: timedelta) -> bool:
        """Say whether nothing can show up below the mark any more."""
        return self.marked_at is not None and now - self.marked_at >= look_back

    def marked(self, now: datetime) -> "Position":
        """Return the position once all up to the mark is settled."""
        return self.model_copy(
            update={
                "settled": self.mark,
                "mark": self.head,
                "marked_at": now,
            }
        )


class ObjectReader(Protocol):
    """What a look needs of the platform API."""

    def list_objects_without_proof(
        self, after_id: int, limit: int
    ) -> list[AssetObject]:
        """Return objects that lack a proof, by ascending number."""
        ...


@dataclass(frozen=True)
class Pace:
    """How far one look may go.

    Attributes:
        page: Objects that one call reads.
        limit: Objects that one look reads, above the head and below each.
        look_back: How long an upload may take to show up.
        reconcile: After how long all is looked at again.
    """

    page: int
    limit: int
    look_back: timedelta
    reconcile: timedelta


@dataclass(frozen=True)
class Look:
    """What a look came to.

    Attributes:
        position: Where the next one goes on.
        found: Objects that lack a proof.
        calls: How many pages were read.
    """

    position: Position
    found: tuple[AssetObject, ...]
    calls: int


def look(
    api: ObjectReader,
    start: Position,
    *,
    now: datetime,
    pace: Pace,
    in_time: Callable[[], bool],
) -> Look:
    """Read what is new, and what may have shown up late.

    Args:
        api: The platform API.
        start: Where the last look ended.
        now: The inbox's clock.
        pace: How far to go.
        in_time: Whether there is time for another page.

    Raises:
        UnreadableAnswer: The API does not list by ascending number.
    """
    place = start.at(now, pace.reconcile)
    news = _read(api, place.head, None, pace, in_time)
    place = place.model_copy(update={"head": news.last})
    if not place.is_ripe(now, pace.look_back):
        return Look(place, tuple(news.found), news.calls)
    late = _read(api, place.settled, place.mark, pace, in_time)
    place = (
        place.marked(now)
        if late.is_all
        else place.model_copy(update={"settled": late.last})
    )
    return Look(place, (*news.found, *late.found), news.calls + late.calls)


@dataclass(frozen=True)
class _Reading:
    """Some pages, the number where they end, and whether they are all."""

    found: Sequence[AssetObject]
    last: int
    calls: int
    is_all: bool


def _read(
    api: ObjectReader,
    after: int,
    up_to: int | None,
    pace: Pace,
    in_time: Callable[[], bool],
) -> _Reading:
    """Read pages above ``after``, if need be up to a number."""
    found: list[AssetObject] = []
    calls = 0
    is_all = up_to is not None and after >= up_to
    while not is_all and len(found) < pace.limit and in_time():
        page = api.list_objects_without_proof(after, pace.page)
        calls += 1
        after = _last(page, after)
        wanted = [each for each in page if up_to is None or each.id <= up_to]
        found += wanted
        is_all = len(wanted) < pace.page
    return _Reading(found, after, calls, is_all)


def _last(page: Sequence[AssetObject], after: int) -> int:
    """Return the page's last number; in disorder it would be a loop."""
    numbers = [after, *(each.id for each in page)]
    if sorted(set(numbers)) != numbers:
        msg = f"GET /asset/object: not by ascending number above {after}"
        raise UnreadableAnswer(msg)
    return numbers[-1]
