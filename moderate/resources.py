"""Thin Dagster shells around plain clients.

A resource holds no value at all: its settings come from the environment when
a body asks for the client, so that nothing of them, and no secret, reaches
the snapshots that Dagster stores, and so that a flow whose settings are
absent is found out in the body and not by a resource that fails to build.
Clients are made once per process.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dagster import ConfigurableResource

from moderate.clients.keycloak import KeycloakAdminClient
from moderate.clients.object_storage import ObjectStorage
from moderate.clients.open_metadata import OpenMetadata
from moderate.clients.platform_api import PlatformApi
from moderate.clients.rabbitmq import Rabbit
from moderate.connections import (
    given,
    inbox_address,
    keycloak_client,
    open_metadata_client,
    platform_api_client,
    redactor,
    storage_client,
)
from moderate.inbox.database import Address
from moderate.inbox.model import Kind
from moderate.inbox.store import Inbox
from moderate.settings import (
    KeycloakSettings,
    OpenMetadataSettings,
    PlatformApiSettings,
    RabbitSettings,
    S3Settings,
    Settings,
    process_settings,
)

__all__ = [
    "InboxSource",
    "KeycloakResource",
    "OpenMetadataResource",
    "PlatformApiResource",
    "PostgresResource",
    "RabbitResource",
    "S3Resource",
    "given",
    "inbox_address",
    "redactor",
]


class KeycloakResource(ConfigurableResource[None]):
    """The identity provider; settings ``KEYCLOAK_*``."""

    def client(self) -> KeycloakAdminClient:
        """Return this process's client, with its login.

        Raises:
            SettingsError: The settings are absent.
        """
        settings = process_settings().keycloak
        return keycloak_client(given(settings, KeycloakSettings))


class PlatformApiResource(ConfigurableResource[None]):
    """The platform API; settings ``API_*``."""

    def client(self) -> PlatformApi:
        """Return this process's client, with its token.

        Raises:
            SettingsError: The settings are absent.
        """
        settings = process_settings().platform_api
        return platform_api_client(given(settings, PlatformApiSettings))


class OpenMetadataResource(ConfigurableResource[None]):
    """The metadata catalogue; settings ``OPEN_METADATA_*``."""

    def client(self) -> OpenMetadata:
        """Return this process's client, with its token.

        Raises:
            SettingsError: The settings are absent.
        """
        settings = process_settings().open_metadata
        return open_metadata_client(given(settings, OpenMetadataSettings))


class S3Resource(ConfigurableResource[None]):
    """The object storage; settings ``S3_*``."""

    def client(self) -> ObjectStorage:
        """Return this process's client.

        Raises:
            SettingsError: The settings are absent.
        """
        return storage_client(given(process_settings().s3, S3Settings))


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
