"""Users are read, and become items together with the move of the cursor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from moderate.clients.keycloak import KeycloakAdminClient, KeycloakUser
from moderate.flows.platform_tasks.dids import USER_DID
from moderate.flows.user_dids import plan
from moderate.flows.user_dids.plan import Look, Position, Rules
from moderate.inbox.cursors import Cursor, advance_cursor, read_cursor
from moderate.inbox.database import server_now
from moderate.inbox.model import NewItem
from moderate.inbox.store import Inbox


@dataclass(frozen=True)
class Found:
    """What a tick learnt of the users.

    Attributes:
        count: How many there are, where it was asked for; of what kind the
            rules say.
        read: Users who were read.
        new: Those who became items.
        known: Those who were items already.
        left_out: Those who get no DID by a setting.
        swept: Whether a sweep has come to its end.
        place: How far a sweep that goes on has come.
    """

    count: int | None = None
    read: int = 0
    new: int = 0
    known: int = 0
    left_out: int = 0
    swept: bool = False
    place: int | None = None

    def __str__(self) -> str:
        """Say it in a phrase, for the tick's log."""
        counted = "" if self.count is None else f"{self.count} users, "
        said = (
            f"{counted}read {self.read}, new {self.new}, known {self.known},"
            f" left out {self.left_out}"
        )
        if self.place is not None:
            return f"{said}; the sweep goes on at {self.place}"
        return f"{said}; all were read" if self.swept else said


def discover(
    keycloak: KeycloakAdminClient,
    inbox: Inbox,
    rules: Rules,
    *,
    in_time: Callable[[], bool],
) -> Found:
    """Look for new users, and read on where a sweep is under way.

    What was read is stored page by page: a tick that dies anywhere is gone on
    with by the next one, which reads its last page again at the most.

    Args:
        keycloak: Where the users are.
        inbox: Where they become items.
        rules: Who gets a DID, and how users are read.
        in_time: Whether there is time for another page.

    Raises:
        CorruptCursorError: The cursor can't be read; the text names the
            command that removes it, after which all users are read.
        CursorMovedError: Another tick reads at the same time.
        TemporaryError: Keycloak or the inbox can't be reached.
    """
    with inbox.transaction() as conn:
        cursor = read_cursor(conn, plan.CURSOR, Position())
        now = server_now(conn)
    search = _Search(keycloak, inbox, rules, cursor)
    if cursor.value.sweep is None:
        search.look(now)
    while search.is_sweeping and in_time():
        search.read_page()
    return search.found


class _Search:
    """One tick's part of the search."""

    def __init__(
        self,
        keycloak: KeycloakAdminClient,
        inbox: Inbox,
        rules: Rules,
        cursor: Cursor[Position],
    ) -> None:
        self._keycloak = keycloak
        self._inbox = inbox
        self._rules = rules
        self._cursor = cursor
        self._found = Found()

    @property
    def is_sweeping(self) -> bool:
        """Whether there is a page to be read."""
        return self._cursor.value.sweep is not None

    @property
    def found(self) -> Found:
        """What was learnt so far."""
        sweep = self._cursor.value.sweep
        return replace(self._found, place=sweep.place if sweep else None)

    def look(self, now: datetime) -> None:
        """See whether there is news, and begin a sweep if need be."""
        position = self._cursor.value
        count = self._count()
        recent = self._recent(position)
        users = plan.without_service_accounts(recent, self._rules)
        now, unknown = self._compare(users) if users else (now, [])
        look = Look(
            count,
            users,
            new=len(unknown),
            is_complete=len(recent) < plan.RECENT_USERS,
        )
        self._found = replace(self._found, count=count)
        if plan.needs_sweep(position, look, now=now, rules=self._rules):
            filters = self._keycloak.filters_by_creation()
            onward = plan.begin_sweep(position, look, filters=filters, now=now)
        else:
            onward = plan.after_look(position, look, now=now)
        self._store(users, unknown, onward)

    def read_page(self) -> None:
        """Read the next page of the sweep."""
        position = self._cursor.value
        if position.sweep is None:
            return
        page = self._keycloak.list_users(
            position.sweep.first,
            self._rules.page_size,
            service_accounts=self._rules.service_accounts,
        )
        now, unknown = self._compare(page)
        onward = plan.after_page(position, page, now=now, rules=self._rules)
        self._store(page, unknown, onward)
        self._found = replace(self._found, swept=onward.sweep is None)

    def _count(self) -> int:
        """Count the users of a kind whose number must not go unnoticed.

        Keycloak counts service accounts only where it is asked for those who
        are enabled, or disabled.
        """
        count = self._keycloak.count_users
        if not self._rules.disabled_users:
            return count(enabled=True)
        if self._rules.service_accounts:
            return count(enabled=True) + count(enabled=False)
        return count()

    def _recent(self, position: Position) -> Sequence[KeycloakUser]:
        if not position.filters:
            return ()
        start = plan.asks_from(position, self._rules)
        return self._keycloak.list_created_after(start, plan.RECENT_USERS)

    def _compare(
        self, users: Sequence[KeycloakUser]
    ) -> tuple[datetime, list[NewItem]]:
        """Return the time, and the items that the inbox does not have."""
        items = plan.items_of(users, self._rules)
        with self._inbox.transaction() as conn:
            keys = [item.key for item in items]
            known = self._inbox.known_keys(conn, USER_DID, keys)
            now = server_now(conn)
        return now, [item for item in items if item.key not in known]

    def _store(
        self,
        read: Sequence[KeycloakUser],
        unknown: Sequence[NewItem],
        onward: Position,
    ) -> None:
        """Store items and position together; nothing where nothing is new."""
        new = 0
        if unknown or onward != self._cursor.value:
            with self._inbox.transaction() as conn:
                new = len(self._inbox.record(conn, unknown))
                self._cursor = advance_cursor(conn, self._cursor, onward)
        wanted = len(plan.wanted(read, self._rules))
        found = self._found
        self._found = replace(
            found,
            read=found.read + len(read),
            new=found.new + new,
            known=found.known + wanted - new,
            left_out=found.left_out + len(read) - wanted,
        )
