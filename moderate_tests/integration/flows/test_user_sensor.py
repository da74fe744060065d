"""Users of a real Keycloak become work items, whatever they are called."""

import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from dagster import (
    AssetMaterialization,
    MaterializeResult,
    MetadataValue,
    instance_for_test,
)

from moderate.clients.keycloak import KeycloakAdminClient, KeycloakUser
from moderate.errors import PermanentError, TemporaryError
from moderate.flows.platform_tasks.dids import own_did_item
from moderate.flows.user_dids import sensor
from moderate.flows.user_dids.assets import keycloak_users_count
from moderate.inbox.database import pool_of
from moderate.inbox.model import State
from moderate.inbox.store import Inbox
from moderate.local.ports import free_port
from moderate.local.services.keycloak import Keycloak
from moderate.local.services.postgres import Postgres
from moderate.reference import Row, plan, take_over
from moderate.resources import KeycloakResource
from moderate_tests.integration.flows.keycloak_realm import (
    Realm,
    Ticks,
    calls,
)
from moderate_tests.integration.flows.platform import environment

pytestmark = pytest.mark.services

PAGE = 50
PATIENT = {
    "USER_DIDS_PAGE_SIZE": str(PAGE),
    # No test is about a machine that is too busy.
    "USER_DIDS_SWEEP_BUDGET_SECONDS": "30",
}


@pytest.fixture
def realm(keycloak: Keycloak) -> Iterator[Realm]:
    realm = Realm(keycloak)
    realm.create()
    yield realm
    realm.remove()


@pytest.fixture
def user_settings(
    postgres_server: Postgres,
    keycloak: Keycloak,
    empty_inbox: str,
    realm: Realm,
) -> Iterator[dict[str, str]]:
    """The environment of a service; nobody calls its platform API."""
    database = f"users_{uuid4().hex}"
    postgres_server.create_database(database, template=empty_inbox)
    yield {
        **postgres_server.client_environment(),
        **keycloak.client_environment(),
        "KEYCLOAK_MAIN_REALM_NAME": realm.name,
        "API_BASE_URL": "http://127.0.0.1:9",
        "API_USERNAME": "nobody",
        "API_PASSWORD": "none",
        "INBOX_DATABASE": database,
        **PATIENT,
    }
    postgres_server.drop_database(database)


@pytest.fixture
def ticks(user_settings: dict[str, str]) -> Iterator[Ticks]:
    with environment(user_settings), instance_for_test() as instance:
        ticks = Ticks(instance)
        yield ticks
        pool_of(ticks.inbox.where).close()


def many(count: int, prefix: str = "user") -> list[str]:
    return [f"{prefix}{number:05}" for number in range(count)]


def test_users_become_items_and_one_run_is_asked_for(
    ticks: Ticks, realm: Realm
) -> None:
    realm.add("alice", "bob")
    (request,) = ticks.tick()
    assert request.job_name == "propagate_new_user_to_trust_services_job"
    assert ticks.found == {"alice", "bob"}
    (again,) = ticks.tick()
    assert again.run_key == request.run_key, "until a run binds the batch"
    item = ticks.items[0]
    assert item.payload["username"] == item.key
    assert item.payload["keycloak_id"]
    assert item.payload["created_at"] > 1_600_000_000_000


NAMES = (
    "müller-lüdenscheidt",
    "名前",
    "a b/c?d=e&f#g%2F",
    "x" * 255,
    "ü" * 127,
    "o'hara; drop table users; --",
    '"quoted"\\',
    "<b>bold</b>",
    "🦆",
)


def test_a_username_is_any_string(ticks: Ticks, realm: Realm) -> None:
    realm.add(*NAMES)
    ticks.tick()
    assert ticks.found == realm.names()
    assert len(ticks.found) == len(NAMES)


def test_a_quiet_realm_costs_a_call_or_two(ticks: Ticks, realm: Realm) -> None:
    realm.add_many(many(120))
    ticks.until_swept()
    with calls() as asked:
        for _ in range(3):
            ticks.tick()
    counts = [path for path in asked if path.endswith("/users/count")]
    assert len(counts) == 3
    assert len(asked) <= 4, "and a new token, if it was time"


def test_a_new_user_among_many_is_found_by_the_next_tick(
    ticks: Ticks, realm: Realm
) -> None:
    realm.add_many(many(180))
    ticks.until_swept()
    realm.add("user00077a")
    ticks.tick()
    assert "user00077a" in ticks.found
    assert len(ticks.found) == 181


def between_pages(monkeypatch: pytest.MonkeyPatch, at: int, act: Any) -> None:
    """Do something as soon as so many pages were read."""
    original = KeycloakAdminClient.list_users
    read: list[int] = []

    def list_users(
        self: KeycloakAdminClient, first: int, size: int, **more: Any
    ) -> Sequence[KeycloakUser]:
        read.append(first)
        if len(read) == at + 1:
            act()
        return original(self, first, size, **more)

    monkeypatch.setattr(KeycloakAdminClient, "list_users", list_users)


def test_a_user_who_is_inserted_before_the_place_of_a_sweep_is_found(
    ticks: Ticks, realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Her name sorts before it; the count of the next tick tells."""
    realm.add_many(many(150))
    between_pages(monkeypatch, 2, lambda: realm.add("aaron"))
    ticks.tick()
    assert "aaron" not in ticks.found
    ticks.tick()
    assert "aaron" in ticks.found


@pytest.mark.parametrize("deleted", [5, 45])
def test_users_who_are_deleted_during_a_sweep_hide_nobody(
    ticks: Ticks,
    realm: Realm,
    monkeypatch: pytest.MonkeyPatch,
    deleted: int,
) -> None:
    """They move those whom the sweep has not read yet."""
    names = many(150)
    realm.add_many(names)
    between_pages(monkeypatch, 2, lambda: realm.delete(*names[:deleted]))
    ticks.until_swept()
    assert set(names[deleted:]) <= ticks.found


def test_a_tick_that_dies_in_mid_page_is_gone_on_with(
    ticks: Ticks, realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    realm.add_many(many(150))
    with monkeypatch.context() as dying:
        between_pages(dying, 2, die)
        with pytest.raises(SystemExit):
            ticks.tick()
    place = ticks.position.sweep and ticks.position.sweep.place
    assert place
    assert place >= PAGE
    with calls() as asked:
        ticks.tick()
    assert ticks.found == realm.names()
    assert not any("first=0&" in path for path in asked), "not from the start"


def die() -> None:
    raise SystemExit


def test_a_tick_that_dies_before_its_commit_moves_nothing(
    ticks: Ticks, realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    realm.add("alice")
    with monkeypatch.context() as dying:
        original = Inbox.record

        def record(self: Inbox, *given: Any) -> Any:
            recorded = original(self, *given)
            if recorded:
                die()
            return recorded

        dying.setattr(Inbox, "record", record)
        with pytest.raises(SystemExit):
            ticks.tick()
    assert not ticks.found
    assert ticks.position.sweep
    ticks.tick()
    assert ticks.found == {"alice"}


def test_a_tick_without_time_leaves_the_rest_to_the_next(
    ticks: Ticks, realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    realm.add_many(many(150))
    with monkeypatch.context() as hurried:
        looks = iter([True, True])
        hurried.setattr(
            sensor, "deadline", lambda _: lambda: next(looks, False)
        )
        ticks.tick()
    assert len(ticks.found) == 80, "two pages that overlap"
    ticks.tick()
    assert len(ticks.found) == 150


def test_a_realm_that_was_wiped_and_filled_again_has_the_same_items(
    ticks: Ticks, realm: Realm
) -> None:
    """The platform files DIDs under usernames: those exist already."""
    realm.add("alice", "bob")
    ticks.tick()
    before = {item.key: item.id for item in ticks.items}
    realm.delete("alice", "bob")
    ticks.tick()
    realm.add("alice", "bob", "carol")
    ticks.tick()
    after = {item.key: item.id for item in ticks.items}
    assert after.keys() == {"alice", "bob", "carol"}
    assert before.items() <= after.items()


def test_a_realm_that_is_gone_fails_the_tick_and_comes_back(
    ticks: Ticks, realm: Realm
) -> None:
    """A read that failed is not an empty realm."""
    realm.add("alice")
    ticks.tick()
    ticks.end_all_items()
    before = ticks.position
    realm.remove()
    with pytest.raises(TemporaryError, match="KEYCLOAK_MAIN_REALM_NAME"):
        ticks.tick()
    assert ticks.position == before
    realm.create()
    realm.add("dora")
    ticks.let_reconcile_be_due()
    ticks.tick()
    assert ticks.found == {"alice", "dora"}


def test_users_that_the_count_hides_are_found_by_the_reconcile(
    ticks: Ticks, realm: Realm
) -> None:
    realm.add("alice", "bob")
    ticks.tick()
    realm.delete("bob")
    realm.add_many(["carol"], createdTimestamp=86_400_000)
    ticks.tick()
    assert "carol" not in ticks.found
    ticks.let_reconcile_be_due()
    ticks.tick()
    assert "carol" in ticks.found


def test_a_clock_that_was_set_back_brings_the_reconcile_forward(
    ticks: Ticks, realm: Realm
) -> None:
    realm.add("alice", "bob")
    ticks.tick()
    realm.delete("bob")
    realm.add("carol")
    ticks.sql(
        "UPDATE cursor SET value = jsonb_set(value, '{swept_at}',"
        " '\"2999-01-01T00:00:00Z\"')"
    )
    ticks.tick()
    assert "carol" in ticks.found


def test_a_cursor_that_cant_be_read_names_the_command_that_mends_it(
    ticks: Ticks, realm: Realm
) -> None:
    realm.add("alice")
    ticks.tick()
    ticks.sql("""UPDATE cursor SET value = '{"count": "many"}'""")
    realm.delete("alice")
    realm.add("bob")
    assert ticks.tick(), "what is due does not wait for it"
    ticks.end_all_items()
    with pytest.raises(PermanentError) as caught:
        ticks.tick()
    command = "moderate inbox forget-cursor user_dids.discovery"
    assert command in str(caught.value)
    assert ticks.forget_position()
    ticks.tick()
    assert ticks.found == {"alice", "bob"}


def test_ticks_that_overlap_find_each_user_once(
    ticks: Ticks, realm: Realm
) -> None:
    """Dagster abandons a tick at its deadline without stopping it."""
    realm.add_many(many(150))
    together = threading.Barrier(2)

    def tick() -> None:
        together.wait()
        ticks.tick()

    threads = [threading.Thread(target=tick) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ticks.until_swept()
    assert sorted(item.key for item in ticks.items) == many(150)


@pytest.mark.parametrize("are_wanted", ["true", "false"])
def test_service_accounts_and_disabled_users_follow_their_setting(
    ticks: Ticks, realm: Realm, are_wanted: str
) -> None:
    realm.add("alice")
    realm.add("dave", enabled=False)
    account = realm.add_service_account("robot")
    wanted = {
        "USER_DIDS_SERVICE_ACCOUNTS": are_wanted,
        "USER_DIDS_DISABLED_USERS": are_wanted,
    }
    with environment(wanted):
        ticks.tick()
        left_out = {"dave", account} if are_wanted == "false" else set()
        assert ticks.found == {"alice", "dave", account} - left_out
        realm.enable("dave")
        account = realm.add_service_account("robot2")
        ticks.tick()
        assert "dave" in ticks.found, "as soon as he may log in"
        assert (account in ticks.found) == (are_wanted == "true")


def test_a_tick_says_how_many_it_read_and_what_they_were(
    ticks: Ticks, realm: Realm, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pages overlap: whoever is read twice is known the second time."""
    realm.add("alice", "bob")
    realm.add("dave", enabled=False)
    with environment({"USER_DIDS_DISABLED_USERS": "false"}):
        ticks.tick()
    logged = capsys.readouterr().err
    said = re.search(r"read (\d+), new 2, known (\d+), left out (\d+)", logged)
    assert said, logged
    read, known, left_out = map(int, said.groups())
    assert left_out > 0
    assert read == 2 + known + left_out


def test_what_is_due_is_dispatched_while_keycloak_is_down(
    ticks: Ticks, realm: Realm
) -> None:
    realm.add("alice")
    ticks.tick()
    down = {"KEYCLOAK_SERVER_URL": f"http://127.0.0.1:{free_port()}"}
    with environment(down):
        (request,) = ticks.tick()
        ticks.end_all_items()
        with pytest.raises(TemporaryError, match="Keycloak") as caught:
            ticks.tick()
    assert request.job_name
    assert caught.value.__cause__ is None


def test_the_count_is_a_number_of_the_asset(
    ticks: Ticks, realm: Realm
) -> None:
    """By a click, and whenever all users were read."""
    realm.add("alice", "bob")
    (point,) = ticks.result().asset_events
    assert isinstance(point, AssetMaterialization)
    assert point.asset_key.to_user_string() == "keycloak_users_count"
    assert point.metadata == {"users": MetadataValue.int(2)}
    assert not ticks.result().asset_events
    result = keycloak_users_count(keycloak=KeycloakResource())
    assert isinstance(result, MaterializeResult)
    assert result.metadata == {"users": MetadataValue.int(2)}


@pytest.mark.parametrize("peer", ["API", "POSTGRES"])
def test_a_flow_without_settings_says_which_it_needs(
    ticks: Ticks, user_settings: dict[str, str], peer: str
) -> None:
    absent = {name: "" for name in user_settings if name.startswith(peer)}
    with environment(absent), pytest.raises(AssertionError) as caught:
        ticks.tick()
    assert f"{peer}_PASSWORD" in str(caught.value)


def test_without_keycloak_items_are_worked_on_all_the_same(
    ticks: Ticks, user_settings: dict[str, str]
) -> None:
    """Such as our own account's, which ownerless objects need."""
    absent = {name: "" for name in user_settings if "KEYCLOAK" in name}
    with environment(absent):
        idle = ticks.result()
        assert idle.skip_reason
        assert "KEYCLOAK_ADMIN_PASSWORD" in str(idle.skip_reason)
        with ticks.inbox.transaction() as conn:
            ticks.inbox.record(conn, [own_did_item("Workflows")])
        (request,) = ticks.tick()
    assert request.job_name == "propagate_new_user_to_trust_services_job"
    assert ticks.found == {"workflows"}


def test_items_that_are_over_are_not_done_again(
    ticks: Ticks, realm: Realm
) -> None:
    realm.add("alice")
    ticks.tick()
    ticks.end_all_items()
    ticks.let_reconcile_be_due()
    assert not ticks.tick()
    assert [item.state for item in ticks.items] == [State.DONE]


def test_whom_the_reference_has_registered_is_not_registered_again(
    ticks: Ticks, realm: Realm
) -> None:
    """Names as Keycloak gives them are the keys on both sides."""
    realm.add("alice", "bob", "o'hara; --", "müller-lüdenscheidt")
    rows = [
        Row(n, f"user-trust-did:{name}".encode(), b"2024-05-02T10:11:12")
        for n, name in enumerate(sorted(realm.names() - {"bob"}))
    ]
    with ticks.inbox.transaction() as conn:
        taken = take_over(conn, ticks.inbox, plan(rows))
    assert taken.users == 3
    ticks.until_swept()
    (bob,) = [i for i in ticks.items if i.state is not State.DONE]
    assert bob.key == "bob"
    (request,) = ticks.tick()
    assert request.tags["moderate/item"] == str(bob.id)
    assert request.tags["moderate/size"] == "1"
