"""A real Keycloak lets us in, or says why not."""

import pytest
from pydantic import SecretStr

from moderate.clients.errors import CredentialsRejected
from moderate.clients.keycloak import KeycloakAdminClient
from moderate.errors import TemporaryError
from moderate.local.services.keycloak import Keycloak

pytestmark = pytest.mark.services


def client(
    keycloak: Keycloak, password: str | None = None, realm: str | None = None
) -> KeycloakAdminClient:
    given = keycloak.client_environment()
    return KeycloakAdminClient(
        given["KEYCLOAK_SERVER_URL"],
        given["KEYCLOAK_ADMIN_USERNAME"],
        SecretStr(password or given["KEYCLOAK_ADMIN_PASSWORD"]),
        realm or given["KEYCLOAK_MAIN_REALM_NAME"],
    )


def test_the_users_of_the_realm_are_counted(keycloak: Keycloak) -> None:
    known = client(keycloak)
    known.ping()
    assert known.count_users() > 0


def test_a_wrong_password_kills_nothing(keycloak: Keycloak) -> None:
    with pytest.raises(CredentialsRejected, match="KEYCLOAK_ADMIN_PASSWORD"):
        client(keycloak, password="wrong").ping()


def test_a_missing_realm_names_its_setting(keycloak: Keycloak) -> None:
    with pytest.raises(TemporaryError, match="KEYCLOAK_MAIN_REALM_NAME"):
        client(keycloak, realm="no-such").count_users()
