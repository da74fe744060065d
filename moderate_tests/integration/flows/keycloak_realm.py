"""A realm of one's own in the session's Keycloak, and ticks on it."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import requests
from dagster import (
    DagsterInstance,
    RunRequest,
    SensorResult,
    build_sensor_context,
)
from keycloak import KeycloakAdmin

from moderate.definitions import all_kinds, build_defs
from moderate.flows.platform_tasks.dids import USER_DID
from moderate.flows.user_dids.plan import CURSOR, Position
from moderate.flows.user_dids.sensor import keycloak_user_sensor
from moderate.inbox import admin
from moderate.inbox.cursors import forget_cursor, read_cursor
from moderate.inbox.model import WorkItem
from moderate.inbox.store import Inbox
from moderate.local.realm import USER_PROFILE
from moderate.local.services.keycloak import Keycloak
from moderate.resources import inbox_address
from moderate.settings import load_settings

NO_VALIDATORS: dict[str, Any] = {
    "attributes": [
        (
            {**each, "validations": {"length": {"min": 1, "max": 255}}}
            if each["name"] == "username"
            else each
        )
        for each in USER_PROFILE["attributes"]
    ]
}
"""A profile that takes any username, as a realm may have it."""

KEYS: dict[str, Any] = {
    "org.keycloak.keys.KeyProvider": [
        {
            "name": "hmac",
            "providerId": "hmac-generated",
            "config": {"priority": ["100"], "algorithm": ["HS256"]},
        }
    ]
}
"""A realm without keys of its own is given RSA keys, which take seconds."""


class Realm:
    """A realm that is empty at first, and takes any username.

    Attributes:
        name: Its name.
    """

    def __init__(self, keycloak: Keycloak, name: str | None = None) -> None:
        given = keycloak.client_environment()
        self.name = name or f"realm-{uuid4().hex}"
        self._admin = KeycloakAdmin(
            server_url=given["KEYCLOAK_SERVER_URL"],
            username=given["KEYCLOAK_ADMIN_USERNAME"],
            password=given["KEYCLOAK_ADMIN_PASSWORD"],
            realm_name=self.name,
            user_realm_name="master",
        )

    def create(self) -> None:
        self._admin.create_realm(
            {"realm": self.name, "enabled": True, "components": KEYS}
        )
        profile = json.dumps(NO_VALIDATORS)
        answer = self._admin.connection.raw_put(
            f"admin/realms/{self.name}/users/profile", data=profile
        )
        assert answer.status_code == 200, answer.text

    def remove(self) -> None:
        self._admin.delete_realm(self.name)

    def add(self, *names: str, enabled: bool = True) -> None:
        for name in names:
            self._admin.create_user({"username": name, "enabled": enabled})

    def add_many(self, names: Sequence[str], **more: Any) -> None:
        """Import users, as from another system."""
        users = [{"username": name, "enabled": True, **more} for name in names]
        self._admin.partial_import_realm(
            self.name, {"ifResourceExists": "FAIL", "users": users}
        )

    def delete(self, *names: str) -> None:
        for name in names:
            self._admin.delete_user(str(self._admin.get_user_id(name)))

    def enable(self, name: str) -> None:
        self._admin.update_user(
            str(self._admin.get_user_id(name)), {"enabled": True}
        )

    def add_service_account(self, client: str) -> str:
        """Add a client with one; return its username."""
        self._admin.create_client(
            {"clientId": client, "serviceAccountsEnabled": True}
        )
        return f"service-account-{client}"

    def names(self) -> set[str]:
        return {user["username"] for user in self._admin.get_users()}


@dataclass(frozen=True)
class Ticks:
    """Ticks of the user sensor, one after the other."""

    instance: DagsterInstance

    def tick(self) -> Sequence[RunRequest]:
        return self.result().run_requests or []

    def result(self) -> SensorResult:
        """Let the sensor tick; return all that comes of it."""
        context = build_sensor_context(
            instance=self.instance,
            resources=build_defs().resources or {},
            sensor_name=keycloak_user_sensor.name,
        )
        with context:
            result = keycloak_user_sensor(context)
        assert isinstance(result, SensorResult), result
        return result

    def until_swept(self) -> None:
        """Tick until no sweep is under way."""
        self.tick()
        for _ in range(50):
            if self.position.sweep is None:
                return
            self.tick()
        msg = "the sweep does not come to its end"
        raise AssertionError(msg)

    @property
    def inbox(self) -> Inbox:
        settings = load_settings()
        return Inbox(inbox_address(settings), all_kinds(settings))

    @property
    def items(self) -> Sequence[WorkItem]:
        with self.inbox.transaction() as conn:
            return admin.list_items(conn, kind=USER_DID, limit=100_000)

    @property
    def found(self) -> set[str]:
        """The usernames that are items."""
        return {item.key for item in self.items}

    @property
    def position(self) -> Position:
        with self.inbox.transaction() as conn:
            return read_cursor(conn, CURSOR, Position()).value

    def forget_position(self) -> bool:
        with self.inbox.transaction() as conn:
            return forget_cursor(conn, CURSOR)

    def sql(self, text: str) -> None:
        with self.inbox.transaction() as conn:
            conn.execute(text.encode())

    def end_all_items(self) -> None:
        """Let all be done, so that no run is asked for."""
        self.sql(
            "UPDATE work_item SET state = 'done', batch_id = NULL,"
            " finished_at = clock_timestamp()"
        )
        self.sql("UPDATE batch SET state = 'closed', closed_at = now()")

    def let_reconcile_be_due(self) -> None:
        self.sql(
            "UPDATE cursor SET value = jsonb_set(value, '{swept_at}',"
            " '\"2000-01-01T00:00:00Z\"')"
        )


@contextmanager
def calls() -> Iterator[list[str]]:
    """Note the paths that this process asks of an HTTP server."""
    asked: list[str] = []
    original: Callable[..., Any] = requests.Session.send

    def send(
        self: requests.Session, request: requests.PreparedRequest, **more: Any
    ) -> Any:
        asked.append(str(request.path_url))
        return original(self, request, **more)

    requests.Session.send = send  # type: ignore[method-assign]
    try:
        yield asked
    finally:
        requests.Session.send = original  # type: ignore[method-assign]
