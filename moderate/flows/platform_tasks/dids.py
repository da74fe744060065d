"""Whose DIDs are seen to: what both trust flows know of it.

The users' flow makes an item of every user who is to have a DID; the proofs'
flow waits for the item of an owner, and makes one that is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from moderate.clients.keycloak import KeycloakAdminClient, KeycloakUser
from moderate.errors import ModerateError, TemporaryError
from moderate.inbox.model import NewItem
from moderate.settings import UserDidSettings

USER_DID = "user_did"
"""Kind of the items that see to a user's DID.

The key is the username, exactly as Keycloak gives it: that is what the
platform files DIDs under. So a user who is deleted and made again under the
same name is the same item, and keeps the DID that the name has already.
"""

SERVICE_ACCOUNT = "service-account-"
"""What the usernames of Keycloak's service accounts begin with."""


class UserDid(TypedDict):
    """The payload of an item.

    Attributes:
        username: Whom the DID is for.
        keycloak_id: Who that is in Keycloak; not known of our own account.
        created_at: When the user was created there, in milliseconds since
            1970 (UTC).
    """

    username: str
    keycloak_id: str | None
    created_at: int | None


def user_did_item(payload: UserDid) -> NewItem:
    """Return the work item of a user."""
    return NewItem(USER_DID, payload["username"], dict(payload))


def item_of_user(user: KeycloakUser) -> NewItem:
    """Return the work item of a user of Keycloak."""
    return user_did_item(
        UserDid(
            username=user.username,
            keycloak_id=user.id,
            created_at=user.created_at,
        )
    )


def own_did_item(account: str) -> NewItem:
    """Return the item of our own account's DID.

    Objects without an owner are proven in the name of who asks. Keycloak,
    whose tokens say who that is, writes all usernames in lower case.
    """
    return user_did_item(
        UserDid(username=account.lower(), keycloak_id=None, created_at=None)
    )


@dataclass(frozen=True)
class NoItem:
    """Nobody sees to a user's DID.

    Attributes:
        why: The reason, for people.
        is_by_setting: Whether a setting says so: waiting would not help.
    """

    why: str
    is_by_setting: bool = False


@dataclass(frozen=True)
class Owners:
    """Finds out why an owner has no item.

    Args:
        keycloak: Where users are; ``None`` where it is not set up.
        rules: Who gets a DID.
    """

    keycloak: Callable[[], KeycloakAdminClient] | None
    rules: UserDidSettings

    def find(self, username: str) -> NewItem | NoItem:
        """Return the item that an owner is to have, or why there is none.

        Raises:
            TemporaryError: Keycloak can't say.
        """
        if self.keycloak is None:
            return NoItem("users are not looked for: Keycloak is not set up")
        try:
            return self._asked(self.keycloak(), username)
        except ModerateError as error:
            # Whatever Keycloak answers, it is no fault of the object.
            raise TemporaryError(str(error)) from error

    def _asked(
        self, keycloak: KeycloakAdminClient, username: str
    ) -> NewItem | NoItem:
        user = keycloak.find_user(username)
        if user is None:
            return NoItem(f"Keycloak knows no user {username!r}")
        variable = self._left_out_by(keycloak, user)
        if variable:
            why = f"{username!r} is left out by {variable}=false"
            return NoItem(why, is_by_setting=True)
        return item_of_user(user)

    def _left_out_by(
        self, keycloak: KeycloakAdminClient, user: KeycloakUser
    ) -> str | None:
        """Return the setting by which a user gets no DID, if there is one."""
        if not (user.enabled or self.rules.disabled_users):
            return "USER_DIDS_DISABLED_USERS"
        if (
            not self.rules.service_accounts
            and user.username.startswith(SERVICE_ACCOUNT)
            and keycloak.is_service_account(user)
        ):
            return "USER_DIDS_SERVICE_ACCOUNTS"
        return None
