"""Users and objects on a live service, and what became of them."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from keycloak import KeycloakAdmin, KeycloakError

from moderate.clients.platform_api import PlatformApi
from moderate.inbox.model import State
from moderate.local.platform_api.second_calls import Why
from moderate.local.realm import API_ACCOUNT
from moderate_tests.e2e.live import Live

SENSORS = ("keycloak_user_sensor", "platform_api_asset_object_sensor")
KINDS = ("user_did", "asset_proof")
OPEN = """SELECT count(*) AS items FROM work_item
 WHERE kind = ANY(%s) AND state NOT IN ('done', 'dead', 'cancelled')"""
ITEMS = "SELECT kind, key, state FROM work_item WHERE kind = ANY(%s)"

FEW = 4
"""Users, and objects of each sort, that come at once."""

ENOUGH = 20
"""Open items of both kinds; so many must be worked on before more come."""

HARMLESS = frozenset({Why.UNDER_WAY, Why.API_DIED})
"""Why a second call may be made when something was killed."""


@dataclass(frozen=True)
class TrustBalance:
    """The account of all users and objects.

    Attributes:
        users: How many users Keycloak has.
        objects: How many objects became items.
        lost: Users and objects that did not come to their end.
        doubled: Effects that came about twice, and calls that no kill
            explains.
        second: Second calls of the trust service, by their reason.
        most: The most tasks that were in flight at once.
    """

    users: int
    objects: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    second: Counter[str]
    most: int

    @property
    def is_even(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled) and self.most <= 8

    def __str__(self) -> str:
        whys = ", ".join(f"{n} as {why}" for why, n in self.second.items())
        return (
            f"users {self.users} and objects {self.objects}:"
            f" lost {len(self.lost)}, doubled {len(self.doubled)},"
            f" second calls {self.second.total()}"
            f"{f' ({whys})' if whys else ''},"
            f" most tasks at once {self.most}"
        )


@dataclass
class TrustLoad:
    """Brings users and objects in, while both of their sensors look.

    Attributes:
        live: The service.
    """

    live: Live
    _times: int = 0
    _admin: KeycloakAdmin | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        for sensor in SENSORS:
            self.live.ui.start_sensor(sensor)
        return self

    def __exit__(self, *_: object) -> None:
        for sensor in SENSORS:
            self.live.ui.reset_sensor(sensor)

    def bring_in(self) -> None:
        """Let there be more users and objects, unless there are enough.

        Some objects belong to users who are as new as they are.
        """
        (found,) = self.live.query(OPEN, list(KINDS))
        if found["items"] > ENOUGH:
            return
        self._times += 1
        prefix = f"chaos-{self._times}"
        names = [f"{prefix}-{number}" for number in range(FEW)]
        # What they stand on may only just be up again. Whoever is there all
        # the same is found out in the end.
        with suppress(httpx.HTTPError):
            self._seed(f"{prefix}-theirs", names[0])
            self._seed(f"{prefix}-nobodys", None)
        try:
            self._import(names)
        except (KeycloakError, KeyError, TypeError, ValueError):
            # Its login may be worth nothing any more; and the library takes
            # answers of a server that is starting apart without looking.
            self._admin = None

    def _seed(self, prefix: str, owner: str | None) -> None:
        url = f"{self.live.stack.platform_api.url}/_emulator/seed"
        body = {"objects": FEW, "owner": owner, "key_prefix": prefix}
        httpx.post(url, json=body, timeout=30).raise_for_status()

    def _import(self, names: Sequence[str]) -> None:
        users = [{"username": name, "enabled": True} for name in names]
        self._keycloak().partial_import_realm(
            self.live.stack.env["KEYCLOAK_MAIN_REALM_NAME"],
            {"ifResourceExists": "SKIP", "users": users},
        )

    def _keycloak(self) -> KeycloakAdmin:
        if self._admin is None:
            env = self.live.stack.env
            self._admin = KeycloakAdmin(
                server_url=env["KEYCLOAK_SERVER_URL"],
                username=env["KEYCLOAK_ADMIN_USERNAME"],
                password=env["KEYCLOAK_ADMIN_PASSWORD"],
                realm_name=env["KEYCLOAK_MAIN_REALM_NAME"],
                user_realm_name="master",
            )
        return self._admin

    def wait_until_over(self, within: float) -> None:
        """Wait until every user and object has come to its end."""
        self._admin = None  # Keycloak may have been restarted since
        self.live.until(
            lambda: not self._missing(), "users and objects are done", within
        )

    def balance(self) -> TrustBalance:
        """Draw up the account."""
        ledger = self.live.ledger()
        effects = Counter(
            f"{call['kind']} {call['subject']}"
            for call in ledger["trust_calls"]
            if call["outcome"] == "succeeded"
        )
        second: list[dict[str, Any]] = ledger["second_calls"]
        return TrustBalance(
            users=len(self._usernames()),
            objects=sum(kind == "asset_proof" for kind, _ in self._states()),
            lost=tuple(self._missing()),
            doubled=(
                *(each for each, times in effects.items() if times > 1),
                *(str(each) for each in second if each["why"] not in HARMLESS),
            ),
            second=Counter(each["why"] for each in second),
            most=ledger["max_tasks_in_flight"],
        )

    def _missing(self) -> list[str]:
        """Name the users and objects that have not come to their end."""
        states = self._states()
        return [
            *(
                f"user {name}"
                for name in self._usernames()
                if states.get(("user_did", name)) is not State.DONE
            ),
            *(
                f"{kind} {key} is {state}"
                for (kind, key), state in states.items()
                if state is not State.DONE
            ),
            *(f"object {key} has no proof" for key in self._unproven()),
        ]

    def _states(self) -> dict[tuple[str, str], State]:
        return {
            (each["kind"], each["key"]): State(each["state"])
            for each in self.live.query(ITEMS, list(KINDS))
        }

    def _usernames(self) -> list[str]:
        found = self._keycloak().get_users({"briefRepresentation": "true"})
        return [str(user["username"]) for user in found]

    def _unproven(self) -> list[str]:
        stack = self.live.stack
        with PlatformApi(
            stack.platform_api.url, API_ACCOUNT, stack.password(API_ACCOUNT)
        ) as api:
            return [
                each.key for each in api.list_objects_without_proof(0, 100)
            ]
