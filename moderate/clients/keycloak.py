"""Client of Keycloak's admin interface, through python-keycloak.

The library is imported with the first call: it is heavy, and most processes
never ask Keycloak.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    field_validator,
)

from moderate.clients.errors import CredentialsRejected, UnreadableAnswer
from moderate.errors import ModerateError, PermanentError, TemporaryError
from moderate.redaction import Redactor

if TYPE_CHECKING:
    from keycloak import KeycloakAdmin
    from keycloak.exceptions import KeycloakError

ADMIN_REALM = "master"
"""The realm whose account we are."""

TIMEOUT_SECONDS = 8
"""Of each connection and each answer; the library tries once more."""

LONGEST_REASON = 300
"""Characters of an answer that an error quotes."""

FILTERS_BY_CREATION = (26, 6)
"""The first version whose list of users can be filtered by creation time:
https://github.com/keycloak/keycloak/pull/46237."""

_FORBIDDEN = 403
_LOGIN_LOST = frozenset({400, 401})
_REJECTED = frozenset({400, 401, 403})
_NO_REALM = 404
_TEMPORARY = frozenset({408, 425, 429})

T = TypeVar("T")


class KeycloakUser(BaseModel):
    """What a brief representation says of a user, as far as we ask.

    Attributes:
        id: Keycloak's own number of the user (a UUID).
        username: As Keycloak gives it: in lower case, any characters that
            the realm allows.
        enabled: Whether the user may log in.
        created_at: Milliseconds since 1970 by Keycloak's clock; 0 where it
            is not known. An import may bring any number along.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    id: str
    username: str
    enabled: bool = True
    created_at: int = Field(0, alias="createdTimestamp")

    @field_validator("enabled", "created_at", mode="before")
    @classmethod
    def _known(cls, value: object, info: Any) -> object:
        if value is None:
            return cls.model_fields[info.field_name].default
        return value


_USERS = TypeAdapter(
    tuple[KeycloakUser, ...], config=ConfigDict(hide_input_in_errors=True)
)


class KeycloakAdminClient:
    """One realm, seen with an admin's account; shared by threads.

    Calls raise ``TemporaryError``, or ``CredentialsRejected`` when Keycloak
    doesn't accept the account.

    Args:
        server_url: Base URL.
        username: An account of the realm ``master``.
        password: Its password.
        realm: The realm of the platform's users.
        timeout: Seconds; see ``TIMEOUT_SECONDS``.
    """

    def __init__(
        self,
        server_url: str,
        username: str,
        password: SecretStr,
        realm: str,
        *,
        timeout: int = TIMEOUT_SECONDS,
    ) -> None:
        self._server_url = server_url
        self._username = username
        self._password = password
        self._realm = realm
        self._timeout = timeout
        self._redactor = Redactor([password])
        self._lock = Lock()  # The library's session is for one thread.
        self._admin: KeycloakAdmin | None = None

    def ping(self) -> None:
        """Log in, to see whether Keycloak is there and knows us."""
        self._call("log in", lambda admin: admin.connection.get_token())

    def count_users(self, *, enabled: bool | None = None) -> int:
        """Return how many users the realm has.

        Args:
            enabled: Count only those that are enabled, or that are not.
                Keycloak then counts service accounts too, which it leaves
                out of the count of all.
        """
        query = {} if enabled is None else {"enabled": str(enabled).lower()}
        return self._call(
            "count users", lambda admin: admin.users_count(dict(query))
        )

    def list_users(
        self, first: int, size: int, *, service_accounts: bool = False
    ) -> tuple[KeycloakUser, ...]:
        """Return a page of the realm's users, sorted by username.

        The order is that of Keycloak's database. Users who come and go move
        all that are behind them to other offsets.

        Args:
            first: Offset of the first one.
            size: How many at the most.
            service_accounts: Whether those are among them; Keycloak leaves
                them out of a list that asks for nothing in particular.
        """
        asked = {"exact": "false"} if service_accounts else {}
        return self._users({"first": first, "max": size, **asked})

    def find_user(self, username: str) -> KeycloakUser | None:
        """Return the user of that name, who may be a service account."""
        found = self._users(
            {"username": username, "exact": "true", "first": 0, "max": 2}
        )
        return _named(username, found)

    def is_service_account(self, user: KeycloakUser) -> bool:
        """Say whether nobody but a client is behind a user.

        Keycloak leaves service accounts out of what is searched for by a
        text; in quotes it must be the whole name.
        """
        text = f'"{user.username}"'
        found = self._users({"search": text, "first": 0, "max": 10})
        return _named(user.username, found) is None

    def list_created_after(
        self, created_after: int, size: int
    ) -> tuple[KeycloakUser, ...]:
        """Return users who were created at a time or later.

        An older server ignores the time and returns everybody: see
        ``filters_by_creation``. Service accounts may be among them.

        Args:
            created_after: Milliseconds since 1970 by Keycloak's clock.
            size: How many at the most, the first ones by username.
        """
        return self._users(
            {"first": 0, "max": size, "createdAfter": created_after}
        )

    def filters_by_creation(self) -> bool:
        """Say whether the server can filter users by creation time.

        Its version says so. An account that may not see the version gets no
        filter: everything works without.
        """
        found = re.match(r"(\d+)\.(\d+)", self.version())
        return found is not None and (
            (int(found[1]), int(found[2])) >= FILTERS_BY_CREATION
        )

    def version(self) -> str:
        """Return the server's version; empty if we may not see it."""
        info = self._call("ask for the version", _server_info)
        return str((info.get("systemInfo") or {}).get("version") or "")

    def clock(self) -> datetime:
        """Return Keycloak's time, in whole seconds, by a token made now.

        Its answers have no date.
        """
        return self._call("log in", _issued_now)

    def _users(self, query: Mapping[str, Any]) -> tuple[KeycloakUser, ...]:
        asked = {"briefRepresentation": "true", **query}
        return self._call(
            "list users",
            lambda admin: _USERS.validate_python(admin.get_users(dict(asked))),
        )

    def _call(self, what: str, act: Callable[["KeycloakAdmin"], T]) -> T:
        """Do one thing, and once more with a new login if the old is lost.

        The library renews a token by its time only: after a restart of
        Keycloak both its tokens may be worth nothing.
        """
        from keycloak.exceptions import KeycloakError  # noqa: PLC0415

        with self._lock:
            had_login = self._admin is not None
            try:
                return self._once(act)
            except KeycloakError as error:
                if not (had_login and error.response_code in _LOGIN_LOST):
                    raise self._meaning(what, error) from error
            try:
                return self._once(act)
            except KeycloakError as error:
                raise self._meaning(what, error) from error

    def _once(self, act: Callable[["KeycloakAdmin"], T]) -> T:
        from keycloak.exceptions import KeycloakError  # noqa: PLC0415

        admin = self._admin or self._made()
        self._admin = None
        try:
            result = act(admin)
        except KeycloakError:
            raise
        except (
            AttributeError,
            KeyError,
            OverflowError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            # The library takes answers apart without looking.
            reason = self._redactor.redact(repr(error))[:LONGEST_REASON]
            msg = f"Keycloak: an answer that is none: {reason}"
            raise UnreadableAnswer(msg) from error
        self._admin = admin
        return result

    def _made(self) -> "KeycloakAdmin":
        from keycloak import KeycloakAdmin  # noqa: PLC0415

        return KeycloakAdmin(
            server_url=self._server_url,
            username=self._username,
            password=self._password.get_secret_value(),
            realm_name=self._realm,
            user_realm_name=ADMIN_REALM,
            timeout=self._timeout,
        )

    def _meaning(self, what: str, error: "KeycloakError") -> ModerateError:
        status = error.response_code
        reason = self._redactor.redact(str(error))[:LONGEST_REASON]
        msg = f"Keycloak: {what}: {reason}"
        if status in _REJECTED:
            settings = "KEYCLOAK_ADMIN_USERNAME and KEYCLOAK_ADMIN_PASSWORD"
            return CredentialsRejected(f"{msg}; check {settings}")
        if status == _NO_REALM:
            settings = "KEYCLOAK_SERVER_URL and KEYCLOAK_MAIN_REALM_NAME"
            return TemporaryError(f"{msg}; check {settings}")
        if status and 400 <= status < 500 and status not in _TEMPORARY:
            return PermanentError(msg)
        return TemporaryError(msg)


def _named(
    username: str, users: Iterable[KeycloakUser]
) -> KeycloakUser | None:
    """Return who has that name; the server's filters may be coarser."""
    same = [each for each in users if each.username == username]
    return same[0] if same else None


def _issued_now(admin: "KeycloakAdmin") -> datetime:
    """Log in anew; say when the token was made.

    It came from Keycloak itself over our own connection, and nothing is
    decided by it: its signature is not looked at.
    """
    admin.connection.get_token()
    token = admin.connection.token
    if token is None:
        msg = "Keycloak's login gave no token"
        raise TemporaryError(msg)
    _, payload, _ = str(token["access_token"]).split(".")
    padded = payload + "=" * (-len(payload) % 4)
    claims = json.loads(base64.urlsafe_b64decode(padded))
    return datetime.fromtimestamp(claims["iat"], UTC)


def _server_info(admin: "KeycloakAdmin") -> Mapping[str, Any]:
    from keycloak.exceptions import KeycloakError  # noqa: PLC0415

    try:
        return admin.get_server_info()
    except KeycloakError as error:
        if error.response_code == _FORBIDDEN:
            return {}
        raise
