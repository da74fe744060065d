"""Proofs whose owners are users of a real Keycloak, and have no item yet."""

from collections.abc import Iterator

import pytest

from moderate.inbox.model import State
from moderate.local.ports import free_port
from moderate.local.services.keycloak import Keycloak
from moderate_tests.integration.flows.keycloak_realm import Realm
from moderate_tests.integration.flows.platform import Service, environment
from moderate_tests.integration.flows.trust import ACCOUNT, Trust, shown

pytestmark = pytest.mark.services


@pytest.fixture
def realm(keycloak: Keycloak) -> Iterator[Realm]:
    realm = Realm(keycloak)
    realm.create()
    yield realm
    realm.remove()


@pytest.fixture
def trust(
    service: Service, keycloak: Keycloak, realm: Realm
) -> Iterator[Trust]:
    """Our own account has its DID; owners are looked for in the realm."""
    users = {
        **keycloak.client_environment(),
        "KEYCLOAK_MAIN_REALM_NAME": realm.name,
    }
    with environment(users):
        trust = Trust(service)
        trust.add_users(ACCOUNT)
        trust.work()
        yield trust


def prove(trust: Trust, owner: str) -> dict[str, object]:
    """Let an owner have an object; carry out one run for its proof."""
    trust.seed(1, owner=owner)
    (result,) = trust.service.carry_out(trust.tick())
    return shown(result)


@pytest.mark.parametrize(
    ("variable", "owner"),
    [
        ("USER_DIDS_DISABLED_USERS", "dave"),
        ("USER_DIDS_SERVICE_ACCOUNTS", "service-account-robot"),
    ],
)
def test_a_proof_whose_owner_is_left_out_by_a_setting_is_dead_at_once(
    trust: Trust, realm: Realm, variable: str, owner: str
) -> None:
    """Waiting would not help: a person has to change it, and retry."""
    realm.add("dave", enabled=False)
    realm.add_service_account("robot")
    with environment({variable: "false"}):
        figures = prove(trust, owner)
    (item,) = trust.proofs()
    assert item.state is State.DEAD
    assert figures["dead"] == 1
    assert f"left out by {variable}=false" in (item.last_error or "")
    assert f"User {owner} does not have a DID" in (item.last_error or "")


@pytest.mark.parametrize(
    "owner", ["dave", "service-account-robot", "service-account-of-a-person"]
)
def test_a_proof_makes_the_item_of_an_owner_who_was_not_found_yet(
    trust: Trust, realm: Realm, owner: str
) -> None:
    """And waits for that, as if the users' sensor had been there before.

    A person may be called like a service account.
    """
    realm.add("dave", "service-account-of-a-person")
    realm.add_service_account("robot")
    accounts = str(owner == "service-account-robot").lower()
    with environment({"USER_DIDS_SERVICE_ACCOUNTS": accounts}):
        assert prove(trust, owner)["waiting"] == 1
        user = trust.user(owner)
        assert user.payload["keycloak_id"]
        assert user.payload["created_at"]
        trust.work_until_quiet()
    assert {each.state for each in trust.proofs()} == {State.DONE}
    assert {each.failures for each in trust.proofs()} == {0}


def test_a_proof_whose_owner_keycloak_does_not_know_is_dead_in_the_end(
    trust: Trust,
) -> None:
    with environment({"ASSET_PROOFS_MAX_FAILURES": "2"}):
        assert prove(trust, "ghost")["failed, tried again"] == 1
        trust.work_until_quiet()
    (item,) = trust.proofs()
    assert item.state is State.DEAD
    assert "Keycloak knows no user 'ghost'" in (item.last_error or "")


def test_a_proof_is_tried_again_where_keycloak_is_down(
    trust: Trust, realm: Realm
) -> None:
    """It can't be said yet whether waiting helps."""
    realm.add("dave", enabled=False)
    down = {
        "KEYCLOAK_SERVER_URL": f"http://127.0.0.1:{free_port()}",
        "USER_DIDS_DISABLED_USERS": "false",
    }
    with environment(down):
        assert prove(trust, "dave")["failed, tried again"] == 1
    (item,) = trust.proofs()
    assert item.state is State.PENDING
    assert item.failures == 1
    assert "Keycloak" in (item.last_error or "")
