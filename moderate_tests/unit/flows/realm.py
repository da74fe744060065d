"""A model of Keycloak's list of users, and a tick on it without I/O."""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from moderate.clients.keycloak import KeycloakUser
from moderate.flows.user_dids import plan
from moderate.flows.user_dids.plan import Look, Position, Rules

PAGE = 25
RULES = Rules(
    page_size=PAGE,
    overlap=timedelta(minutes=10),
    reconcile_interval=timedelta(hours=1),
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def user(
    name: str, created_at: int = 0, *, enabled: bool = True
) -> KeycloakUser:
    return KeycloakUser(
        id=f"id-{name}",
        username=name,
        enabled=enabled,
        createdTimestamp=created_at,
    )


@dataclass
class Realm:
    """Users by name, sorted; each with its time of creation.

    Attributes:
        created: Creation by name, in milliseconds.
        filters: Whether the server filters by creation time.
        names: In order.
    """

    created: dict[str, int] = field(default_factory=dict)
    filters: bool = False
    names: list[str] = field(default_factory=list)

    def add(self, name: str, created_at: int) -> None:
        if name not in self.created:
            insort(self.names, name)
            self.created[name] = created_at

    def remove(self, name: str) -> None:
        self.names.remove(name)
        del self.created[name]

    def page(self, first: int, size: int) -> Sequence[KeycloakUser]:
        return self._users(self.names[first : first + size])

    def created_after(self, start: int, size: int) -> Sequence[KeycloakUser]:
        names = [
            name
            for name in self.names
            if self.created[name] >= start or not self.filters
        ]
        return self._users(names[:size])

    def _users(self, names: Sequence[str]) -> Sequence[KeycloakUser]:
        return [user(name, self.created[name]) for name in names]


@dataclass
class Service:
    """Ticks on a realm: the plan, a set for the inbox, a clock.

    Attributes:
        realm: What is looked at.
        inbox: The usernames that are items.
        position: The cursor.
        now: The inbox's clock.
        pages: How many pages were read.
    """

    realm: Realm
    inbox: set[str] = field(default_factory=set)
    position: Position = field(default_factory=Position)
    now: datetime = START
    pages: int = 0

    @property
    def is_sweeping(self) -> bool:
        return self.position.sweep is not None

    def step(self) -> None:
        """Look, or read one page of a sweep."""
        if self.position.sweep:
            self._page(self.position.sweep.first)
        else:
            self._look()
        # What is stored is what the next tick knows.
        stored = self.position.model_dump(mode="json")
        self.position = Position.model_validate(stored)

    def settle(self) -> None:
        """Go on until nothing is left to be done."""
        for _ in range(10_000):
            before = self.position
            self.step()
            if self.position.sweep is None and self.position == before:
                return
        msg = "the search does not come to rest"
        raise AssertionError(msg)

    def reconcile(self) -> None:
        """Let the time of the reconcile come, and settle."""
        self.now += RULES.reconcile_interval
        self.settle()

    def _page(self, first: int) -> None:
        self.pages += 1
        page = self.realm.page(first, PAGE)
        self._store(page)
        self.position = plan.after_page(
            self.position, page, now=self.now, rules=RULES
        )

    def _look(self) -> None:
        count = len(self.realm.names)
        recent: Sequence[KeycloakUser] = ()
        if self.position.filters:
            start = plan.asks_from(self.position, RULES)
            recent = self.realm.created_after(start, plan.RECENT_USERS)
        look = Look(
            count,
            recent,
            new=len({each.username for each in recent} - self.inbox),
            is_complete=len(recent) < plan.RECENT_USERS,
        )
        self._store(recent)
        if plan.needs_sweep(self.position, look, now=self.now, rules=RULES):
            self.position = plan.begin_sweep(
                self.position, look, filters=self.realm.filters, now=self.now
            )
        else:
            self.position = plan.after_look(self.position, look, now=self.now)

    def _store(self, users: Sequence[KeycloakUser]) -> None:
        items = plan.items_of(users, RULES)
        self.inbox |= {item.key for item in items}
