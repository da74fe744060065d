"""No user is lost, whatever happens between two pages."""

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from moderate.flows.platform_tasks.dids import USER_DID
from moderate.flows.user_dids import plan
from moderate.flows.user_dids.plan import (
    OVERLAP,
    Look,
    Position,
    Rules,
    Sweep,
)
from moderate_tests.unit.flows.realm import (
    PAGE,
    RULES,
    START,
    Realm,
    Service,
    user,
)

NOW_MS = int(START.timestamp() * 1_000)
MINUTE_MS = 60_000


def name(number: int) -> str:
    return f"user{number:05}"


def service(users: int, *, filters: bool = False) -> Service:
    """A service that knows all of so many users; their numbers are even."""
    realm = Realm(filters=filters)
    for number in range(users):
        realm.add(name(2 * number), NOW_MS - (999 - number) * MINUTE_MS)
    known = Service(realm)
    known.settle()
    assert known.inbox == set(realm.names)
    known.pages = 0
    return known


class Commotion(RuleBasedStateMachine):
    """Users come and go, ticks die, clocks jump; in the end all are found."""

    clock = NOW_MS
    """Keycloak's."""

    @initialize(
        users=st.integers(0, 150),
        filters=st.booleans(),
    )
    def begin(self, *, users: int, filters: bool) -> None:
        self.service = Service(Realm(filters=filters))
        for number in range(users):
            self._add(number * 10)
        self.since_begin: set[str] | None = None
        self.only_added = True

    @rule(steps=st.integers(1, 12))
    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self._step()

    @rule(place=st.integers(0, 2_000), count=st.integers(1, 40))
    def users_are_made(self, place: int, count: int) -> None:
        for number in range(place, place + count):
            self._add(number)

    @rule(place=st.floats(0, 1), count=st.integers(1, 40))
    def users_are_deleted(self, place: float, count: int) -> None:
        names = self.service.realm.names
        start = int(place * len(names))
        gone = names[start : start + count]
        for each in gone:
            self.service.realm.remove(each)
        self.since_begin = self.since_begin and self.since_begin - set(gone)
        self.only_added = self.only_added and not gone

    @rule(number=st.integers(0, 2_000))
    def one_is_renamed(self, number: int) -> None:
        names = self.service.realm.names
        if names and name(number) not in names:
            self.only_added = False
            gone = names[number % len(names)]
            if self.since_begin:
                self.since_begin -= {gone}
            created_at = self.service.realm.created[gone]
            self.service.realm.remove(gone)
            self.service.realm.add(name(number), created_at)

    @rule()
    def the_realm_is_wiped(self) -> None:
        for each in list(self.service.realm.names):
            self.service.realm.remove(each)
        self.since_begin = self.since_begin and set()
        self.only_added = False

    @rule(minutes=st.integers(-100_000, 100))
    def keycloaks_clock_jumps(self, minutes: int) -> None:
        self.clock += minutes * MINUTE_MS

    @rule(minutes=st.integers(-10_000, 30))
    def our_clock_jumps(self, minutes: int) -> None:
        self.service.now += timedelta(minutes=minutes)

    @rule()
    def the_server_is_another_release(self) -> None:
        self.service.realm.filters = not self.service.realm.filters

    @precondition(lambda self: self.only_added)
    @rule()
    def who_was_only_added_needs_no_reconcile(self) -> None:
        self.service.settle()
        self.since_begin = None
        assert set(self.service.realm.names) <= self.service.inbox

    @invariant()
    def who_stays_during_a_sweep_is_read_by_it(self) -> None:
        if self.service.position.sweep is None and self.since_begin:
            assert self.since_begin <= self.service.inbox
            self.since_begin = None

    def teardown(self) -> None:
        self.service.settle()
        self.service.reconcile()
        assert set(self.service.realm.names) <= self.service.inbox

    def _add(self, number: int) -> None:
        self.clock += 500
        self.service.realm.add(name(number), self.clock)

    def _step(self) -> None:
        swept_before = self.service.position.sweep is not None
        self.service.now += timedelta(seconds=1)
        self.service.step()
        if self.service.position.sweep and not swept_before:
            self.since_begin = set(self.service.realm.names)
        self.who_stays_during_a_sweep_is_read_by_it()


TestCommotion = Commotion.TestCase
TestCommotion.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None
)


def test_nothing_is_read_while_the_count_stays() -> None:
    known = service(200)
    known.step()
    assert known.pages == 0


def test_a_new_count_brings_a_sweep_about_that_reads_each_page_once() -> None:
    known = service(200)
    known.realm.add(name(1), NOW_MS)
    known.settle()
    assert name(1) in known.inbox
    assert known.pages <= 201 // (PAGE - OVERLAP) + 2


def test_a_user_who_comes_while_more_are_deleted_is_found() -> None:
    """A count that has become smaller is news as well."""
    known = service(50)
    for each in known.realm.names[:2]:
        known.realm.remove(each)
    known.realm.add(name(77), NOW_MS)
    known.settle()
    assert name(77) in known.inbox


@pytest.mark.parametrize("where", [0, 10, 24, 26, 60, 199])
def test_a_user_who_is_inserted_during_a_sweep_is_found(where: int) -> None:
    """Also where the sweep has passed, without waiting for the reconcile."""
    known = service(200)
    known.realm.add(name(399), NOW_MS)
    for _ in range(10):
        known.step()
    assert known.is_sweeping
    known.realm.add(name(2 * where + 1), NOW_MS)
    known.settle()
    assert name(2 * where + 1) in known.inbox


@pytest.mark.parametrize("deleted", [1, OVERLAP - 1, OVERLAP, 45, 60])
def test_deletions_before_the_place_of_a_sweep_hide_nobody(
    deleted: int,
) -> None:
    """They move unread users to offsets that were read already."""
    known = service(200)
    known.inbox.clear()
    known.now += RULES.reconcile_interval
    known.step()
    for _ in range(12):
        known.step()
    assert known.position.sweep
    assert known.position.sweep.place > deleted
    unread = set(known.realm.names) - known.inbox
    assert unread
    for each in known.realm.names[:deleted]:
        known.realm.remove(each)
    while known.is_sweeping:
        known.step()
    assert unread <= known.inbox


def test_a_realm_that_is_wiped_and_filled_again_during_a_sweep_is_read() -> (
    None
):
    known = service(100)
    known.realm.add(name(999), NOW_MS)
    for _ in range(8):
        known.step()
    for each in list(known.realm.names):
        known.realm.remove(each)
    for number in range(101):
        known.realm.add(f"other{number}", NOW_MS)
    while known.is_sweeping:
        known.step()
    assert set(known.realm.names) <= known.inbox


def test_what_the_count_hides_the_reconcile_finds() -> None:
    known = service(100)
    known.realm.remove(name(0))
    known.realm.add(name(1), NOW_MS)
    known.settle()
    assert name(1) not in known.inbox
    known.reconcile()
    assert name(1) in known.inbox


def test_a_clock_that_was_set_back_makes_the_reconcile_due() -> None:
    """Or it would wait for the time that was taken back as well."""
    known = service(100)
    known.realm.remove(name(0))
    known.realm.add(name(1), NOW_MS)
    known.now -= timedelta(days=2)
    known.settle()
    assert name(1) in known.inbox


def test_with_a_filter_a_new_user_costs_no_sweep() -> None:
    known = service(100, filters=True)
    for number in range(3):
        known.realm.add(name(2 * number + 1), NOW_MS)
    known.settle()
    assert known.pages == 0
    assert set(known.realm.names) <= known.inbox


def test_with_a_filter_deletions_cost_no_sweep() -> None:
    known = service(100, filters=True)
    known.realm.remove(name(0))
    known.settle()
    assert known.pages == 0
    assert known.position.count == 99


@pytest.mark.parametrize("age", [60, 100_000])
def test_with_a_filter_users_with_old_times_are_swept_for(age: int) -> None:
    """LDAP imports, and Keycloak's clock set back."""
    known = service(100, filters=True)
    known.realm.add(name(7), NOW_MS)
    known.settle()
    known.realm.add(name(5), NOW_MS - age * MINUTE_MS)
    known.settle()
    assert name(5) in known.inbox


def test_with_a_filter_equal_times_are_no_matter() -> None:
    known = service(10, filters=True)
    for number in range(300):
        known.realm.add(name(2 * number + 1), NOW_MS)
        if number % 100 == 0:
            known.step()
    known.settle()
    assert set(known.realm.names) <= known.inbox


def test_with_a_filter_a_time_in_the_future_blinds_nobody() -> None:
    """An import may bring any time along; the filter goes on from now."""
    known = service(10, filters=True)
    known.realm.add(name(1), NOW_MS + 10**12)
    known.settle()
    known.pages = 0
    known.realm.add(name(3), NOW_MS + 1)
    known.settle()
    assert name(3) in known.inbox
    assert known.pages == 0


def test_a_burst_beyond_what_a_look_asks_for_does_not_keep_sweeping() -> None:
    known = service(10, filters=True)
    for number in range(plan.RECENT_USERS + 50):
        known.realm.add(name(2 * number + 1), NOW_MS)
    known.settle()
    known.pages = 0
    for _ in range(10):
        known.step()
    assert known.pages == 0
    assert set(known.realm.names) <= known.inbox


def test_a_burst_that_deletions_hide_from_the_count_is_swept_for() -> None:
    known = service(200, filters=True)
    for number in range(150):
        known.realm.remove(name(2 * number))
        known.realm.add(name(2 * number + 1), NOW_MS)
    known.settle()
    assert set(known.realm.names) <= known.inbox


def test_with_a_filter_a_long_sweep_loses_nobody_behind_it() -> None:
    """She is made behind its place, and a deletion hides her in the count."""
    known = service(200, filters=True)
    known.now += RULES.reconcile_interval
    for _ in range(10):
        known.step()
    known.realm.add(name(1), NOW_MS + 61 * MINUTE_MS)
    known.realm.remove(name(0))
    known.now += timedelta(minutes=30)
    known.realm.add(name(399), NOW_MS + 89 * MINUTE_MS)
    known.realm.remove(name(2))
    known.settle()
    assert name(1) in known.inbox


def test_a_sweep_counts_from_its_begin_for_the_next_reconcile() -> None:
    known = service(200)
    known.now += RULES.reconcile_interval
    known.step()
    begun_at = known.now
    known.now += timedelta(minutes=30)
    known.settle()
    assert known.position.swept_at == begun_at


def test_a_user_made_between_the_count_and_the_list_costs_no_sweep() -> None:
    known = service(100, filters=True)
    late = user(name(1), NOW_MS)
    look = Look(100, [late], new=1)
    now = known.now
    after = plan.after_look(known.position, look, now=now)
    assert after.count == 101
    again = Look(101, [late])
    assert not plan.needs_sweep(after, again, now=now, rules=RULES)


def test_of_a_list_that_was_cut_off_no_time_is_believed() -> None:
    """Somebody older may stand behind its end."""
    position = Position(count=10, newest=7, filters=True)
    look = Look(10, [user("a", NOW_MS)], is_complete=False)
    assert plan.after_look(position, look, now=START).newest == 7


def test_a_server_that_takes_no_notice_of_the_filter_loses_it() -> None:
    """It was replaced by an older release, which returns everybody."""
    known = service(50, filters=True)
    known.realm.filters = False
    known.step()
    assert known.position.sweep
    assert not known.position.filters


def test_a_place_that_is_far_off_is_found_again() -> None:
    """As a cursor's row that somebody has changed by hand."""
    known = service(100)
    known.inbox.clear()
    known.position = Position(
        sweep=Sweep(begun_at=START, count=100, place=10**9)
    )
    while known.is_sweeping:
        known.step()
    assert set(known.realm.names) <= known.inbox
    assert known.pages < 60


def test_a_user_is_an_item_under_the_name_that_keycloak_gives() -> None:
    found = user("Zoë/ 1", 5)
    (item,) = plan.items_of([found], RULES)
    assert (item.kind, item.key) == (USER_DID, "Zoë/ 1")
    assert item.payload == {
        "username": "Zoë/ 1",
        "keycloak_id": "id-Zoë/ 1",
        "created_at": 5,
    }


@pytest.mark.parametrize("are_wanted", [True, False])
def test_disabled_users_and_service_accounts_follow_their_setting(
    *, are_wanted: bool
) -> None:
    rules = Rules(
        page_size=PAGE,
        overlap=timedelta(),
        reconcile_interval=timedelta(hours=1),
        disabled_users=are_wanted,
        service_accounts=are_wanted,
    )
    users = [
        user("bob"),
        user("alice", enabled=False),
        user("service-account-x"),
    ]
    kept = plan.items_of(plan.without_service_accounts(users, rules), rules)
    names = ["bob", "alice", "service-account-x"]
    assert [item.key for item in kept] == (names if are_wanted else ["bob"])


def test_names_that_no_database_holds_have_a_mark() -> None:
    assert plan.mark("a\ud800\0") != plan.mark("a")
