"""Where the search for users stands, and what each answer means for it.

Keycloak lists users by username and knows them by offset only. So the search
is led by their count, and reads all of them, a *sweep*, when the count has
changed, and from time to time although it has not (the *reconcile*).

Why no user is lost:

- A user who is there when a sweep begins, and stays, is read by it. Pages
  overlap: a page counts only if it holds one of the users who were read
  last, or begins at the very first user. Users who were deleted before that
  place have moved the others forward; then the sweep goes back, ever
  further, until it finds its place again.
- A user who is made during a sweep is read by it, or stands before its
  place. The count that a sweep is held against is the one from before it
  began, so such a user is a change that brings the next sweep about.
- What no count shows (a user made and another one deleted between two looks,
  a rename, one who is enabled) the reconcile finds, at the latest.
- Times are only ever a shortcut. Where the server filters by creation time,
  new users are asked for from a while before the latest one; users with old
  times (imports, a clock that was set back) make the count larger than what
  was found so explains, and are swept for.

All times of Keycloak are milliseconds since 1970; no clock is compared with
another one, but for the latest creation, which counts as the inbox's now if
it is later.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from moderate.clients.keycloak import KeycloakUser
from moderate.flows.platform_tasks.dids import SERVICE_ACCOUNT, item_of_user
from moderate.inbox.model import NewItem

CURSOR = "user_dids.discovery"

OVERLAP = 20
"""Users of a page that are read again with the next one; so many may be
deleted between two pages before the sweep has to go back."""

RECENT_USERS = 100
"""Users whom a look asks for, where the server can filter. If there are more,
and new ones among them, all users are read."""

_MILLISECOND = timedelta(milliseconds=1)


class Sweep(BaseModel):
    """A walk over all users, page by page.

    Attributes:
        begun_at: When it began, by the inbox's clock.
        count: How many users there were before it began.
        place: Offset of the first user who was not read yet.
        tail: The users who were read last, in order, as ``mark`` says.
        back: How far before the place the next page begins.
        newest: The latest creation that was read.
    """

    model_config = ConfigDict(frozen=True)

    begun_at: AwareDatetime
    count: int = Field(ge=0)
    place: int = Field(default=0, ge=0)
    tail: tuple[str, ...] = ()
    back: int = Field(default=OVERLAP, ge=OVERLAP)
    newest: int = 0

    @property
    def first(self) -> int:
        """Where the next page begins."""
        return max(0, self.place - self.back)

    @property
    def read(self) -> frozenset[str]:
        """The users who were read last."""
        return frozenset(self.tail)


class Position(BaseModel):
    """What is known of the users: the value of the cursor.

    Attributes:
        count: The count that everything found so far explains.
        swept_at: When the last complete sweep began, by the inbox's clock.
        newest: The latest creation up to which nobody is missing.
        filters: Whether the server can filter by creation time.
        sweep: The sweep that is under way.
    """

    model_config = ConfigDict(frozen=True)

    count: int | None = None
    swept_at: AwareDatetime | None = None
    newest: int = 0
    filters: bool = False
    sweep: Sweep | None = None


@dataclass(frozen=True)
class Rules:
    """Who gets a DID, and how users are read.

    Attributes:
        page_size: Users per page.
        overlap: How long before the latest creation users are asked for
            again, where the server can filter.
        reconcile_interval: After which all users are read in any case.
        service_accounts: Whether service accounts get a DID.
        disabled_users: Whether disabled users do.
    """

    page_size: int
    overlap: timedelta
    reconcile_interval: timedelta
    service_accounts: bool = False
    disabled_users: bool = True


@dataclass(frozen=True)
class Look:
    """What a tick sees when no sweep is under way.

    Attributes:
        count: How many users there are, read before ``recent``.
        recent: Users who were created lately, where the server can filter.
        new: How many of those are not in the inbox.
        is_complete: Whether there are no more of them.
    """

    count: int
    recent: Sequence[KeycloakUser] = ()
    new: int = 0
    is_complete: bool = True


def wanted(users: Sequence[KeycloakUser], rules: Rules) -> list[KeycloakUser]:
    """Return those users who are to have a DID."""
    return [user for user in users if user.enabled or rules.disabled_users]


def items_of(users: Sequence[KeycloakUser], rules: Rules) -> list[NewItem]:
    """Return the work items of those users who are to have a DID.

    The key is the username: a user who is made again under the same name,
    as after a realm was wiped and imported, is the same item.
    """
    return [item_of_user(user) for user in wanted(users, rules)]


def without_service_accounts(
    users: Sequence[KeycloakUser], rules: Rules
) -> Sequence[KeycloakUser]:
    """Leave service accounts out of a list that Keycloak put them into.

    A person whose name begins like theirs is left out too, here; the sweep,
    for which Keycloak itself leaves them out, finds that person.
    """
    if rules.service_accounts:
        return users
    return [
        user for user in users if not user.username.startswith(SERVICE_ACCOUNT)
    ]


def asks_from(position: Position, rules: Rules) -> int:
    """Return the creation from which on users are asked for."""
    return max(0, position.newest - rules.overlap // _MILLISECOND)


def needs_sweep(
    position: Position, look: Look, *, now: datetime, rules: Rules
) -> bool:
    """Say whether a look shows that all users have to be read."""
    if _is_due(position.swept_at, now, rules.reconcile_interval):
        return True
    if position.count is None:
        return True
    if not position.filters:
        return look.count != position.count
    return (
        look.count > position.count + look.new
        or (look.new > 0 and not look.is_complete)
        or is_unfiltered(position, look, rules)
    )


def is_unfiltered(position: Position, look: Look, rules: Rules) -> bool:
    """Say whether the server took no notice of the time it was given.

    It did when it was asked last; an older release has been put in its place.
    """
    start = asks_from(position, rules)
    return any(user.created_at < start for user in look.recent)


def begin_sweep(
    position: Position, look: Look, *, filters: bool, now: datetime
) -> Position:
    """Return the position at the begin of a sweep.

    Args:
        position: Where the search stands.
        look: What made the sweep necessary.
        filters: Whether the server can filter by creation time.
        now: The inbox's clock.
    """
    sweep = Sweep(begun_at=now, count=look.count)
    return position.model_copy(update={"filters": filters, "sweep": sweep})


def after_look(position: Position, look: Look, *, now: datetime) -> Position:
    """Return the position after a look that needs no sweep.

    Users who are made between the count and the list are new without being
    counted; so a count that is too small is believed only when nobody is
    new.
    """
    explained = (position.count or 0) + look.new
    seen = look.recent if look.is_complete else ()
    return position.model_copy(
        update={
            "count": max(look.count, explained) if look.new else look.count,
            "newest": _newest(position.newest, seen, now),
        }
    )


def after_page(
    position: Position,
    page: Sequence[KeycloakUser],
    *,
    now: datetime,
    rules: Rules,
) -> Position:
    """Return the position after a page of the sweep was read.

    Args:
        position: With the sweep whose ``first`` the page begins at.
        page: The users of the page; those of them who are not in the inbox
            have to be stored together with the new position.
        now: The inbox's clock.
        rules: How users are read.
    """
    sweep = position.sweep
    if sweep is None:
        return position
    marks = [mark(user.username) for user in page]
    newest = _newest(sweep.newest, page, now)
    if sweep.first > 0 and sweep.read.isdisjoint(marks):
        onward = sweep.model_copy(update={"back": 2 * sweep.back})
    elif sweep.read.issuperset(marks[-1:]) and len(marks) < rules.page_size:
        return _swept(position, sweep, newest, now)
    else:
        onward = Sweep(
            begun_at=sweep.begun_at,
            count=sweep.count,
            place=sweep.first + len(marks),
            tail=tuple(marks[-OVERLAP:]),
            newest=newest,
        )
    return position.model_copy(update={"sweep": onward})


def mark(username: str) -> str:
    """Return a short stand-in of a username, which any database can hold."""
    encoded = username.encode("utf-8", "surrogatepass")
    return hashlib.sha256(encoded).hexdigest()[:16]


def _swept(
    position: Position, sweep: Sweep, newest: int, now: datetime
) -> Position:
    """Return the position after the last page of a sweep.

    Users who were made while it went on may stand before its place: of its
    latest creation so much is not believed.
    """
    lasted = max(timedelta(), now - sweep.begun_at)
    return Position(
        count=sweep.count,
        swept_at=sweep.begun_at,
        newest=max(0, newest - lasted // _MILLISECOND),
        filters=position.filters,
    )


def _newest(newest: int, users: Sequence[KeycloakUser], now: datetime) -> int:
    """Return the latest creation; none is later than now."""
    limit = int(now.timestamp() * 1_000)
    return max([newest, *(min(user.created_at, limit) for user in users)])


def _is_due(last: datetime | None, now: datetime, interval: timedelta) -> bool:
    """Say whether it is time again; also when the clock was set back."""
    return last is None or now < last or now - last >= interval
