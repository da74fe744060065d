"""New users get a DID, new objects a proof.

One user's DID and one object's proof are refused for good by the emulated
trust service, which harms nobody else. Another user uploads an object before
having a DID: its proof waits for that.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr
from rich.markup import escape
from rich.table import Table

from moderate.clients.platform_api import PlatformApi
from moderate.inbox.admin import find_item
from moderate.inbox.database import Address, transaction
from moderate.inbox.model import FINAL_STATES, State, WorkItem
from moderate.local.demo.part import Say
from moderate.local.realm import CLIENT_ID
from moderate.local.stack import INBOX_DATABASE, Stack

if TYPE_CHECKING:
    from keycloak import KeycloakAdmin

BASIC_ROLE = "api_basic_access"
UNLUCKY = "unlucky"
NEWCOMERS = ("carla", "dario", UNLUCKY)
OWNER = "alice"
READINGS = b"time,value\n2026-01-01 00:00,12.5\n2026-01-01 01:00,11.9\n"
LONGEST_NOTE = 90
LONGEST_ID = 24

EMULATOR: Mapping[str, str] = {
    "EMULATOR_FAULTS": f'{{"tasks": [{{"pattern": "*{UNLUCKY}*"}}]}}'
}
"""The trust service refuses whoever is called so."""

SETTINGS: Mapping[str, str] = {
    "USER_DIDS_MAX_FAILURES": "2",
    "USER_DIDS_BACKOFF_SECONDS": "1",
    "ASSET_PROOFS_MAX_FAILURES": "2",
    "ASSET_PROOFS_BACKOFF_SECONDS": "1",
}
"""Two failures are enough to give up: nobody wants to watch ten."""


@dataclass(frozen=True)
class _Watched:
    """An item that is waited for, as a person would call it."""

    kind: str
    key: str
    who: str
    what: str


class Trust:
    """Users are created in Keycloak, and objects are uploaded.

    Args:
        stack: The stack.
        say: Tells the person what happens.
    """

    def __init__(self, stack: Stack, say: Say) -> None:
        self._stack = stack
        self._say = say
        self._where = Address(stack.postgres.url(INBOX_DATABASE))
        # A demo may be run again on the same data.
        self._mark = time.strftime("%H%M%S")
        self._open: list[_Watched] = []
        self._ended: dict[_Watched, WorkItem] = {}

    def begin(self) -> None:
        """Create the users, and upload the objects."""
        admin = self._admin()
        passwords = {
            name: self._create(admin, name)
            for name in (f"{each}-{self._mark}" for each in NEWCOMERS)
        }
        newcomer, password = next(iter(passwords.items()))
        for user, secret, filename in (
            (newcomer, password, "before-the-did.csv"),
            (OWNER, self._stack.password(OWNER), "readings.csv"),
            (OWNER, self._stack.password(OWNER), f"{UNLUCKY}.csv"),
        ):
            self._upload(user, secret, filename)

    def look(self) -> bool:
        """See which items are over since."""
        for watched in tuple(self._open):
            with transaction(self._where) as conn:
                item = find_item(conn, watched.kind, watched.key)
            if item and item.state in FINAL_STATES:
                self._open.remove(watched)
                self._ended[watched] = item
                self._say(
                    f"  {watched.what} of {watched.who} is {item.state} after"
                    f" {_seconds(item):.1f} s"
                )
        return not self._open

    def table(self) -> Table:
        """Return what became of each user and object."""
        table = Table(
            "item",
            "who",
            "what",
            "seconds",
            "what the inbox says",
            title="New users got a DID, new objects a proof",
        )
        for watched, item in sorted(
            self._ended.items(), key=lambda each: each[1].id
        ):
            table.add_row(
                str(item.id),
                watched.who,
                watched.what,
                f"{_seconds(item):.1f}",
                _said(item),
            )
        return table

    def _admin(self) -> "KeycloakAdmin":
        from keycloak import KeycloakAdmin  # noqa: PLC0415  # heavy

        env = self._stack.env
        return KeycloakAdmin(
            server_url=env["KEYCLOAK_SERVER_URL"],
            username=env["KEYCLOAK_ADMIN_USERNAME"],
            password=env["KEYCLOAK_ADMIN_PASSWORD"],
            realm_name=env["KEYCLOAK_MAIN_REALM_NAME"],
            user_realm_name="master",
        )

    def _create(self, admin: "KeycloakAdmin", name: str) -> SecretStr:
        """Create a user who may use the platform; return the password."""
        password = secrets.token_urlsafe()
        user: str = admin.create_user(
            {
                "username": name,
                "enabled": True,
                "credentials": [
                    {"type": "password", "value": password, "temporary": False}
                ],
            }
        )
        client = str(admin.get_client_id(CLIENT_ID))
        role = admin.get_client_role(client, BASIC_ROLE)
        admin.assign_client_role(user, client, [role])
        self._open.append(_Watched("user_did", name, name, "DID"))
        self._say(f"  Keycloak has a new user {name}")
        return SecretStr(password)

    def _upload(self, user: str, password: SecretStr, filename: str) -> None:
        url = self._stack.platform_api.url
        with PlatformApi(url, user, password) as api:
            asset = api.create_asset(f"Demo: {filename}")
            uploaded = api.upload_object(asset.id, filename, READINGS)
        self._open.append(
            _Watched(
                "asset_proof", str(uploaded.id), user, f"proof of {filename}"
            )
        )
        self._say(f"  {user} uploads {filename}")


def _seconds(item: WorkItem) -> float:
    if item.finished_at is None:
        return 0.0
    return (item.finished_at - item.created_at).total_seconds()


def _said(item: WorkItem) -> str:
    reason = " ".join((item.last_error or "").replace("\\n", " ").split())
    note = escape(reason[:LONGEST_NOTE])
    if item.state is not State.DONE:
        return f"[red]{item.state}: {note}[/]"
    made = str(next(iter((item.outcome or {}).values()), ""))
    short = made if len(made) <= LONGEST_ID else f"{made[:LONGEST_ID]}…"
    waited = f" (had waited: {note})" if reason else ""
    return f"[green]{escape(short)}[/]{waited}"
