"""Client of Keycloak's admin interface, through python-keycloak.

The library is imported with the first call: it is heavy, and most processes
never ask Keycloak.
"""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr

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

_LOGIN_LOST = frozenset({400, 401})
_REJECTED = frozenset({400, 401, 403})
_NO_REALM = 404
_TEMPORARY = frozenset({408, 425, 429})

T = TypeVar("T")


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

    def count_users(self) -> int:
        """Return how many users the realm has."""
        return self._call("count users", lambda admin: admin.users_count())

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
        except (KeyError, TypeError, ValueError) as error:
            # The library takes answers apart without looking.
            msg = f"Keycloak: an answer that is none: {error!r}"
            raise UnreadableAnswer(self._redactor.redact(msg)) from error
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
