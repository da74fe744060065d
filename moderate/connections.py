"""Plain clients, made of settings: the only place that knows both.

Clients are made once per process. No Dagster, so that commands and the
metrics' process stay light; ``resources`` gives the same clients to bodies.
"""

from functools import cache
from typing import TypeVar

from moderate.clients.data_keys import TIMEOUT_SECONDS, VaultKeys
from moderate.clients.keycloak import KeycloakAdminClient
from moderate.clients.object_storage import ObjectStorage
from moderate.clients.open_metadata import OpenMetadata
from moderate.clients.platform_api import PlatformApi
from moderate.clients.webhook import Webhook
from moderate.errors import SettingsError
from moderate.inbox.database import Address, address
from moderate.redaction import Redactor
from moderate.settings import (
    DataServiceSettings,
    Group,
    KeycloakSettings,
    NoticeShape,
    NotificationSettings,
    OpenMetadataSettings,
    PlatformApiSettings,
    PostgresSettings,
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
def storage_client(settings: S3Settings) -> ObjectStorage:
    """Return the client of the object storage."""
    return ObjectStorage(
        access_key_id=settings.access_key_id,
        secret_access_key=settings.secret_access_key,
        region=settings.region,
        endpoint_url=str(settings.endpoint_url),
    )


@cache
def platform_api_client(settings: PlatformApiSettings) -> PlatformApi:
    """Return the client of the platform API, with its token."""
    return PlatformApi(
        str(settings.base_url), settings.username, settings.password
    )


@cache
def keycloak_client(settings: KeycloakSettings) -> KeycloakAdminClient:
    """Return the client of Keycloak, with its login."""
    return KeycloakAdminClient(
        str(settings.server_url),
        settings.username,
        settings.password,
        settings.realm,
    )


def vault_keys(
    settings: DataServiceSettings, timeout: float = TIMEOUT_SECONDS
) -> VaultKeys:
    """Return what reads keys from the vault."""
    return VaultKeys(
        url=str(settings.vault_url),
        token=settings.vault_token,
        token_file=settings.vault_token_file,
        role=settings.vault_role,
        mount=settings.vault_mount,
        path=settings.vault_path,
        version=settings.vault_version,
        timeout=timeout,
    )


@cache
def open_metadata_client(settings: OpenMetadataSettings) -> OpenMetadata:
    """Return the client of OpenMetadata, with its token."""
    return OpenMetadata(settings.url, settings.token)


def prepare_clients(settings: Settings) -> None:
    """Build the clients that runs of most flows need; none connects.

    For a process that others are copied from.
    """
    if settings.s3:
        storage_client(settings.s3).prepare()
    if settings.platform_api:
        platform_api_client(settings.platform_api)


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


def webhook_of(settings: NotificationSettings) -> Webhook:
    """Return where notices go, in the shape that is set."""
    return Webhook(
        settings.webhook_url,
        text_only=settings.shape is NoticeShape.SLACK,
    )
