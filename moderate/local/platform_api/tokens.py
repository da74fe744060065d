"""Keycloak's tokens: asked for on behalf of a user, and checked."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import httpx
import jwt

from moderate.local.platform_api.config import EmulatorSettings
from moderate.local.platform_api.faults import FaultInjector

ADMIN_ROLE = "api_admin"
BASIC_ROLE = "api_basic_access"
ALGORITHM = "RS256"
# A token with a made-up key id must not make us ask Keycloak each time.
KEYS_REFRESH_SECONDS = 2.0
CHECKED_TOKENS = 1_000
KEYCLOAK_TIMEOUT_SECONDS = 5.0


class RefusedTokenError(Exception):
    """A token that Keycloak would refuse."""


class KeycloakUnreachableError(Exception):
    """The realm's keys are not known and can't be asked for."""


@dataclass(frozen=True)
class User:
    """Who asks, as the token says."""

    username: str
    roles: frozenset[str]
    claims: dict[str, Any]

    @property
    def is_admin(self) -> bool:
        """Whether the user may do everything."""
        return ADMIN_ROLE in self.roles

    @property
    def is_enabled(self) -> bool:
        """Whether the user may use the API at all."""
        return not self.roles.isdisjoint({ADMIN_ROLE, BASIC_ROLE})


class Keycloak:
    """The realm that the gateway trusts.

    Args:
        settings: Where it is and which client the gateway is.
        faults: May make tokens older than they are.
    """

    def __init__(
        self, settings: EmulatorSettings, faults: FaultInjector
    ) -> None:
        self._settings = settings
        self._faults = faults
        self._client = httpx.AsyncClient(
            base_url=f"{settings.issuer}/protocol/openid-connect",
            timeout=KEYCLOAK_TIMEOUT_SECONDS,
            trust_env=False,
        )
        self._keys: dict[str, Any] = {}
        self._keys_read_at = -KEYS_REFRESH_SECONDS
        self._keys_lock = asyncio.Lock()
        self._checked: dict[str, dict[str, Any]] = {}

    async def close(self) -> None:
        """Close the connections to Keycloak."""
        await self._client.aclose()

    async def login(self, username: str, password: str) -> httpx.Response:
        """Ask for a token with a user's password.

        Raises:
            httpx.HTTPError: Keycloak can't be reached.
        """
        secret = self._settings.keycloak_client_secret
        return await self._client.post(
            "/token",
            data={
                "grant_type": "password",
                "client_id": self._settings.keycloak_client_id,
                "client_secret": secret.get_secret_value(),
                "username": username,
                "password": password,
            },
        )

    async def check(self, token: str) -> User:
        """Check a token and say whose it is; there is no leeway.

        Raises:
            RefusedTokenError: It is not the realm's, was changed, or is over.
            KeycloakUnreachableError: That can't be found out.
        """
        claims = self._checked.get(token)
        if claims is None:
            claims = await self._decode(token)
            if len(self._checked) >= CHECKED_TOKENS:
                self._checked.clear()
            self._checked[token] = claims
        self._check_age(claims)
        client = self._settings.keycloak_client_id
        access = claims.get("resource_access", {}).get(client, {})
        return User(
            username=claims["preferred_username"],
            roles=frozenset(access.get("roles", ())),
            claims=claims,
        )

    async def _decode(self, token: str) -> dict[str, Any]:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            return jwt.decode(
                token,
                await self._key(key_id),
                algorithms=[ALGORITHM],
                issuer=self._settings.issuer,
                options={
                    "verify_aud": False,
                    "require": ["exp", "iat", "preferred_username"],
                },
            )
        except jwt.InvalidTokenError as error:
            raise RefusedTokenError(str(error)) from error

    def _check_age(self, claims: dict[str, Any]) -> None:
        now = time.time()
        faults = self._faults.faults
        ends = [float(claims["exp"])]
        if faults.token_lifetime_seconds is not None:
            ends.append(claims["iat"] + faults.token_lifetime_seconds)
        before = faults.reject_tokens_issued_before
        if before is not None and claims["iat"] < before.timestamp():
            ends.append(now)
        if now >= min(ends):
            message = "Signature has expired"
            raise RefusedTokenError(message)

    async def _key(self, key_id: str | None) -> Any:
        if key_id not in self._keys:
            # Who comes meanwhile waits for the keys instead of being refused.
            async with self._keys_lock:
                await self._read_keys(key_id)
        if key_id is None or key_id not in self._keys:
            message = "signed with a key that is not the realm's"
            raise RefusedTokenError(message)
        return self._keys[key_id]

    async def _read_keys(self, key_id: str | None) -> None:
        age = time.monotonic() - self._keys_read_at
        if key_id in self._keys or age < KEYS_REFRESH_SECONDS:
            return
        try:
            answer = await self._client.get("/certs")
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise KeycloakUnreachableError(repr(error)) from error
        self._keys_read_at = time.monotonic()
        self._keys = {
            one.key_id: one.key
            for one in jwt.PyJWKSet.from_dict(answer.json()).keys
            if one.key_id and one.algorithm_name == ALGORITHM
        }
