"""The Keycloak realm of the local stack, with its client, roles and users.

The template ``keycloak_realm.json`` holds no secret. Its form is what
``kc.sh start-dev --import-realm`` reads.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

from moderate.errors import SettingsError

TEMPLATE = Path(__file__).with_name("keycloak_realm.json")
REALM = "moderate"
CLIENT_ID = "apisix"
API_ACCOUNT = "workflows"
BASIC_USERS = ("alice", "bob")
USER_WITHOUT_ROLE = "norole"
USERNAMES = (API_ACCOUNT, *BASIC_USERS, USER_WITHOUT_ROLE)
CLIENT_SECRET = "client_secret"  # noqa: S105 - a name, not a secret
SECRET_NAMES = (CLIENT_SECRET, *(f"{name}_password" for name in USERNAMES))

PROFILE_PROVIDER = "org.keycloak.userprofile.UserProfileProvider"
EVERYBODY = {"view": ["admin", "user"], "edit": ["admin", "user"]}
# Keycloak's own profile demands an e-mail address and both names. Who lacks
# one of them can't log in with a password: "Account is not fully set up".
USER_PROFILE = {
    "attributes": [
        {
            "name": "username",
            "validations": {
                "length": {"min": 1, "max": 255},
                "username-prohibited-characters": {},
                "up-username-not-idn-homograph": {},
            },
            "permissions": EVERYBODY,
        },
        {
            "name": "email",
            "validations": {"email": {}, "length": {"max": 255}},
            "permissions": EVERYBODY,
        },
        {
            "name": "firstName",
            "validations": {"length": {"max": 255}},
            "permissions": EVERYBODY,
        },
        {
            "name": "lastName",
            "validations": {"length": {"max": 255}},
            "permissions": EVERYBODY,
        },
    ]
}


def render_realm(secrets: Mapping[str, str]) -> dict[str, Any]:
    """Put secrets into the realm's template.

    Args:
        secrets: A value for each of ``SECRET_NAMES``.

    Returns:
        The realm, to be written as JSON for Keycloak's import. It holds
        secrets: whoever writes it makes the file readable to the owner only.

    Raises:
        SettingsError: Secrets are missing; their names are listed.
    """
    absent = [name for name in SECRET_NAMES if not secrets.get(name)]
    if absent:
        message = f"the realm lacks secrets: {', '.join(absent)}"
        raise SettingsError(message)
    realm: dict[str, Any] = _fill(json.loads(TEMPLATE.read_text()), secrets)
    profile = {"kc.user.profile.config": [json.dumps(USER_PROFILE)]}
    realm["components"] = {
        PROFILE_PROVIDER: [
            {
                "providerId": "declarative-user-profile",
                "subComponents": {},
                "config": profile,
            }
        ]
    }
    return realm


def _fill(value: Any, secrets: Mapping[str, str]) -> Any:
    """Fill in strings after parsing: a quote in a secret harms nothing."""
    if isinstance(value, str):
        return Template(value).substitute(secrets)
    if isinstance(value, list):
        return [_fill(item, secrets) for item in value]
    if isinstance(value, dict):
        return dict(_filled_items(value, secrets))
    return value


def _filled_items(
    value: Mapping[str, Any], secrets: Mapping[str, str]
) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        yield key, _fill(item, secrets)
