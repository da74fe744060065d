"""The realm template gets its secrets and holds none itself."""

import json

import pytest

from moderate.errors import SettingsError
from moderate.local.realm import SECRET_NAMES, TEMPLATE, render_realm

SECRETS = {name: f'{name} with "quotes" and $dollars' for name in SECRET_NAMES}


def test_every_secret_lands_in_the_realm_as_it_is() -> None:
    realm = render_realm(SECRETS)

    passwords = {
        user["username"]: user["credentials"][0]["value"]
        for user in realm["users"]
    }
    for name, password in passwords.items():
        assert password == SECRETS[f"{name}_password"]
    assert realm["clients"][0]["secret"] == SECRETS["client_secret"]
    assert len(passwords) + 1 == len(SECRET_NAMES)


def test_a_missing_secret_is_told_by_name() -> None:
    given = SECRETS | {"alice_password": ""}

    with pytest.raises(SettingsError, match="alice_password"):
        render_realm(given)


def test_the_template_holds_no_secret() -> None:
    realm = json.loads(TEMPLATE.read_text())

    secrets = [realm["clients"][0]["secret"]]
    secrets += [user["credentials"][0]["value"] for user in realm["users"]]
    assert all(secret.startswith("${") for secret in secrets)
