"""Thin Dagster shells around plain clients.

A resource holds no value at all: its settings come from the environment when
a body asks for the client, so that nothing of them, and no secret, reaches
the snapshots that Dagster stores, and so that a flow whose settings are
absent is found out in the body and not by a resource that fails to build.
Clients are made once per process.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from dagster import ConfigurableResource

from moderate.clients.keycloak import KeycloakAdminClient
from moderate.clients.object_storage import ObjectStorage
from moderate.clients.platform_api import PlatformApi
from moderate.clients.rabbitmq import Rabbit
from moderate.errors import SettingsError
from moderate.inbox.database import Address, address
from moderate.inbox.model import Kind
from moderate.inbox.store import Inbox
from moderate.redaction import Redactor
from moderate.settings import (
    Group,
    KeycloakSettings,
    PlatformApiSettings,
    PostgresSettings,
    RabbitSettings,
    S3Settings,
    Settings,
    process_settings,
)

SomeGroup = TypeVar("SomeGroup", bound=Group)


def given(group: SomeGroup | None, of: type[SomeGroup]) -> SomeGroup:
    """Return a group of settings that a body can't do without.

    Raises:
        SettingsError: The group is absent; names its variables.
    """
    if group is None:
        required = [n for n, f in of.variables().items() if f.is_required()]
        msg = f"{of.title} is not set up: set {', '.join(required)}"
        raise SettingsError(msg)
    return group


@cache
def redactor() -> Redactor:
    """Return what takes this process's secrets out of text."""
    return Redactor(process_settings().secrets())


@cache
def _storage(settings: S3Settings) -> ObjectStorage:
    return ObjectStorage(
        access_key_id=settings.access_key_id,
        secret_access_key=settings.secret_access_key,
        region=settings.region,
        endpoint_url=str(settings.endpoint_url),
    )


@cache
def _platform_api(settings: PlatformApiSettings) -> PlatformApi:
    return PlatformApi(
        str(settings.base_url), settings.username, settings.password
    )


@cache
def _keycloak(settings: KeycloakSettings) -> KeycloakAdminClient:
    return KeycloakAdminClient(
        str(settings.server_url),
        settings.username,
        settings.password,
        settings.realm,
    )


class KeycloakResource(ConfigurableResource[None]):
    """The identity provider; settings ``KEYCLOAK_*``."""

    def client(self) -> KeycloakAdminClient:
        """Return this process's client, with its login.

        Raises:
            SettingsError: The settings are absent.
        """
        settings = process_settings().keycloak
        return _keycloak(given(settings, KeycloakSettings))


class PlatformApiResource(ConfigurableResource[None]):
    """The platform API; settings ``API_*``."""

    def client(self) -> PlatformApi:
        """Return this process's client, with its token.

        Raises:
            SettingsError: The settings are absent.
        """
        settings = process_settings().platform_api
        return _platform_api(given(settings, PlatformApiSettings))


class S3Resource(ConfigurableResource[None]):
    """The object storage; settings ``S3_*``."""

    def client(self) -> ObjectStorage:
        """Return this process's client.

        Raises:
            SettingsError: The settings are absent.
        """
        return _storage(given(process_settings().s3, S3Settings))


class RabbitResource(ConfigurableResource[None]):
    """The message broker; setting ``RABBIT_URL``."""

    def client(self) -> Rabbit:
        """Return a client; each use opens a connection of its own.

        Raises:
            SettingsError: The setting is absent.
        """
        return Rabbit(given(process_settings().rabbit, RabbitSettings).url)


class PostgresResource(ConfigurableResource[None]):
    """The Postgres server; settings ``POSTGRES_*``."""

    def inbox_address(self) -> Address:
        """Return where the inbox is.

        Raises:
            SettingsError: The settings are absent.
        """
        return inbox_address(process_settings())


def inbox_address(settings: Settings) -> Address:
    """Return where the inbox of these settings is.

    Raises:
        SettingsError: The settings of Postgres are absent.
    """
    postgres = given(settings.postgres, PostgresSettings)
    return address(
        host=postgres.host,
        port=postgres.port,
        user=postgres.username,
        password=postgres.password.get_secret_value(),
        dbname=postgres.inbox_database,
        sslmode=postgres.sslmode,
        pool_size=postgres.pool_size,
    )


@dataclass(frozen=True)
class InboxSource:
    """The inbox, with the kinds of all flows.

    Every flow needs all kinds: the end of an item may end another flow's
    items that were waiting for it.
    """

    kinds: Callable[[Settings], Iterable[Kind]]

    def open(self) -> Inbox:
        """Return the inbox; its connections are the process's own pool.

        Raises:
            SettingsError: The settings of Postgres are absent.
        """
        settings = process_settings()
        return Inbox(inbox_address(settings), self.kinds(settings))
