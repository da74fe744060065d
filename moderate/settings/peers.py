"""Where the peers are, and with which account they are reached."""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, HttpUrl, SecretStr

from moderate.settings.fields import (
    Group,
    Name,
    PeerUrl,
    Port,
    Seconds,
)


def _amqp_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("amqp://", "amqps://")):
        msg = "an amqp:// or amqps:// URL is expected"
        raise ValueError(msg)
    return value


class PostgresSettings(Group):
    """The Postgres server that holds the inbox (and the platform's data)."""

    title: ClassVar[str] = "Postgres"

    host: Name = Field(alias="POSTGRES_HOST", description="host name")
    port: Port = Field(5432, alias="POSTGRES_PORT", description="TCP port")
    username: Name = Field(alias="POSTGRES_USERNAME", description="role")
    password: SecretStr = Field(
        alias="POSTGRES_PASSWORD", description="the role's password"
    )
    sslmode: str = Field(
        "prefer",
        alias="POSTGRES_SSLMODE",
        pattern="^(disable|allow|prefer|require|verify-ca|verify-full)$",
        description="libpq's sslmode",
    )
    inbox_database: Name = Field(
        "moderate_inbox",
        alias="INBOX_DATABASE",
        description="database of the inbox; `moderate inbox migrate` "
        "creates it",
    )
    pool_size: int = Field(
        4,
        alias="INBOX_POOL_SIZE",
        ge=1,
        le=50,
        description="connections that one process holds at the most",
    )


class KeycloakSettings(Group):
    """The identity provider whose users get a DID."""

    title: ClassVar[str] = "Keycloak"

    server_url: PeerUrl = Field(
        alias="KEYCLOAK_SERVER_URL", description="base URL, http or https"
    )
    username: Name = Field(
        alias="KEYCLOAK_ADMIN_USERNAME",
        description="account that may view the realm's users",
    )
    password: SecretStr = Field(
        alias="KEYCLOAK_ADMIN_PASSWORD", description="its password"
    )
    realm: Name = Field(
        "moderate",
        alias="KEYCLOAK_MAIN_REALM_NAME",
        description="realm of the platform's users",
    )


class OpenMetadataSettings(Group):
    """The metadata catalogue."""

    title: ClassVar[str] = "OpenMetadata"

    host: Name = Field(alias="OPEN_METADATA_HOST", description="host name")
    port: Port = Field(
        8585, alias="OPEN_METADATA_PORT", description="TCP port"
    )
    token: SecretStr = Field(
        alias="OPEN_METADATA_TOKEN", description="JWT of the ingestion bot"
    )
    scheme: str = Field(
        "http",
        alias="OPEN_METADATA_SCHEME",
        pattern="^https?$",
        description="`http` or `https`",
    )

    @property
    def url(self) -> str:
        """The base URL of its API, without the version."""
        return f"{self.scheme}://{self.host}:{self.port}/api"


class S3Settings(Group):
    """The object storage of assets and reports."""

    title: ClassVar[str] = "S3"

    access_key_id: Name = Field(
        alias="S3_ACCESS_KEY_ID", description="access key id"
    )
    secret_access_key: SecretStr = Field(
        alias="S3_SECRET_ACCESS_KEY", description="secret access key"
    )
    region: Name = Field(alias="S3_REGION", description="region name")
    bucket: Name = Field(
        alias="S3_BUCKET_NAME", description="bucket of the platform's assets"
    )
    endpoint_url: PeerUrl = Field(
        HttpUrl("https://storage.googleapis.com"),
        alias="S3_ENDPOINT_URL",
        description="URL of the S3 API, http or https",
    )
    outputs_bucket: Name = Field(
        "moderate-output-bucket",
        alias="S3_JOB_OUTPUTS_BUCKET_NAME",
        description="bucket of reports and error logs",
    )


class PlatformApiSettings(Group):
    """The data space's own API."""

    title: ClassVar[str] = "Platform API"

    base_url: PeerUrl = Field(
        HttpUrl("https://api.gw.moderate.cloud"),
        alias="API_BASE_URL",
        description="base URL of the gateway, http or https",
    )
    username: Name = Field(
        alias="API_USERNAME", description="account with role `api_admin`"
    )
    password: SecretStr = Field(
        alias="API_PASSWORD", description="its password"
    )
    tasks_in_flight: int = Field(
        8,
        alias="API_MAX_TASKS_IN_FLIGHT",
        ge=1,
        le=12,
        description="trust tasks in flight over all flows and runs; the "
        "API's own pool hangs at the 16th",
    )
    task_timeout: Seconds = Field(
        timedelta(seconds=60),
        alias="API_TASK_TIMEOUT_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(hours=1),
        description="seconds that a trust task is waited for; one that the "
        "API died with never ends",
    )
    task_limit: Seconds = Field(
        timedelta(seconds=600),
        alias="API_TASK_LIMIT_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(hours=2),
        description="seconds after which the API itself gives a trust task "
        "up; so long one that is overdue counts as in flight",
    )


class RabbitSettings(Group):
    """The message broker."""

    title: ClassVar[str] = "RabbitMQ"

    url: Annotated[SecretStr, AfterValidator(_amqp_url)] = Field(
        alias="RABBIT_URL",
        description="amqp:// or amqps:// URL with user, password and "
        "virtual host",
    )
