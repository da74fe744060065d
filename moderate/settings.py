"""Every environment variable of the service, typed and in groups.

A group whose required variables are all absent is ``None``: the flows that
need it are off and say so. A group that is there but incomplete or wrong is
a fault, and all faults of all groups are reported at once, by variable name,
so that a person mends a deployment in one go. A secret's value is never part
of a report.

This table is the only place where the environment is read.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo

from moderate.errors import SettingsError

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(min_length=1, max_length=255)]


def _seconds(value: object) -> object:
    """Read a bare number as seconds, as every setting of time is given."""
    if isinstance(value, str) and value.strip():
        try:
            return timedelta(seconds=float(value))
        except (ValueError, OverflowError) as error:
            msg = "a number of seconds is expected"
            raise ValueError(msg) from error
    return value


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]


def _without_login(value: HttpUrl) -> HttpUrl:
    if value.username or value.password:
        msg = "a URL without user and password is expected: it is shown"
        raise ValueError(msg)
    return value


PeerUrl = Annotated[HttpUrl, AfterValidator(_without_login)]


def _comma_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaList = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]


def _pinned_tag(value: str) -> str:
    if value == "latest":
        msg = "a version or commit is expected, never `latest`"
        raise ValueError(msg)
    return value


def _amqp_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("amqp://", "amqps://")):
        msg = "an amqp:// or amqps:// URL is expected"
        raise ValueError(msg)
    return value


class LogFormat(StrEnum):
    """How log lines are written."""

    JSON = "json"
    CONSOLE = "console"


class LauncherName(StrEnum):
    """Where analyses run."""

    KUBERNETES = "kubernetes"
    PROCESS = "process"


class Group(BaseModel):
    """Settings that belong together; frozen once read."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True
    )
    title: ClassVar[str]

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Build the group from ``environ``; an empty value is absent.

        Raises:
            ValidationError: A value is missing or wrong.
        """
        return cls.model_validate(_present(cls, environ))

    @classmethod
    def is_absent(cls, environ: Mapping[str, str]) -> bool:
        """Say whether none of the group's required variables is given."""
        required = [
            variable
            for variable, field in cls.variables().items()
            if field.is_required()
        ]
        return bool(required) and not any(
            environ.get(name) for name in required
        )

    @classmethod
    def variables(cls) -> dict[str, FieldInfo]:
        """Map each environment variable of the group to its field."""
        return {str(field.alias): field for field in cls.model_fields.values()}


def _present(group: type[Group], environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: environ[name] for name in group.variables() if environ.get(name)
    }


HEARTBEATS_MISSED = 3
"""A run is given up after as many, so that a slow one alone is harmless."""


class ServiceSettings(Group):
    """How the service itself behaves."""

    title: ClassVar[str] = "Service"

    log_format: LogFormat = Field(
        LogFormat.CONSOLE,
        alias="MODERATE_LOG_FORMAT",
        description="`json` (one object a line) or `console`",
    )
    log_level: str = Field(
        "INFO",
        alias="MODERATE_LOG_LEVEL",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="DEBUG, INFO, WARNING or ERROR",
    )
    sensor_interval: Seconds = Field(
        # A tick that comes a hair early at 5 would wait a whole loop more.
        timedelta(seconds=4),
        alias="MODERATE_SENSOR_INTERVAL_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(seconds=5),
        description="least seconds between looks of a sensor; the daemon's "
        "own loop takes 5, so less than that means every loop",
    )
    tick_budget: Seconds = Field(
        timedelta(seconds=20),
        alias="MODERATE_TICK_BUDGET_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(seconds=45),
        description="seconds that one tick may read from a peer; Dagster "
        "abandons a tick at 60",
    )
    heartbeat_interval: Seconds = Field(
        timedelta(seconds=5),
        alias="INBOX_HEARTBEAT_SECONDS",
        ge=timedelta(seconds=0.2),
        description="seconds between the heartbeats of a run",
    )
    heartbeat_timeout: Seconds = Field(
        timedelta(seconds=60),
        alias="INBOX_HEARTBEAT_TIMEOUT_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds without a heartbeat after which a run's items "
        "are freed; three heartbeats at least",
        validate_default=True,
    )
    dispatch_grace: Seconds = Field(
        timedelta(seconds=60),
        alias="INBOX_DISPATCH_GRACE_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds that a dispatched item waits for its run before "
        "anybody asks whether the run exists",
    )

    @field_validator("heartbeat_timeout")
    @classmethod
    def _outlasts_heartbeats(
        cls, value: timedelta, info: ValidationInfo
    ) -> timedelta:
        """Refuse what would take the items of every run that is alive."""
        interval = info.data.get("heartbeat_interval", timedelta())
        if value < HEARTBEATS_MISSED * interval:
            msg = (
                f"{value.total_seconds():g} s are fewer than"
                f" {HEARTBEATS_MISSED} heartbeats of"
                f" {interval.total_seconds():g} s"
            )
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


class MatrixProfileSettings(Group):
    """The matrix profile flow."""

    title: ClassVar[str] = "Matrix profile"

    queue: Name = Field(
        "matrix_profile",
        alias="MATRIX_PROFILE_QUEUE",
        description="queue of job messages",
    )
    dead_letter_queue: Name = Field(
        "matrix_profile.dead-letter",
        alias="MATRIX_PROFILE_DEAD_LETTER_QUEUE",
        description="our own queue of messages that can't be understood",
    )
    image: Name = Field(
        "docker.io/moderate/matrix-profile",
        alias="MATRIX_PROFILE_JOB_IMAGE",
        description="container image of the analysis, without tag",
    )
    tag: Annotated[Name, AfterValidator(_pinned_tag)] = Field(
        "0.1.0",
        alias="MATRIX_PROFILE_JOB_TAG",
        description="the image's tag; never `latest`",
    )
    allowed_images: CommaList = Field(
        (),
        alias="MATRIX_PROFILE_ALLOWED_IMAGES",
        description="`image:tag` patterns (fnmatch, comma separated) that a "
        "message may ask for; none by default",
    )
    work_dir: str = Field(
        "",
        alias="ANALYSIS_WORK_DIR",
        description="folder of analyses that run as processes; by default "
        "`.local/state/moderate/analyses` in the user's home",
    )
    timeout: Seconds = Field(
        timedelta(minutes=30),
        alias="MATRIX_PROFILE_TIMEOUT_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(days=7),
        description="seconds that one analysis may take; also the life of "
        "the link to its data",
    )
    memory_mib: int = Field(
        4096,
        alias="MATRIX_PROFILE_MEMORY_MIB",
        ge=256,
        description="MiB of memory that one analysis may use",
    )
    max_concurrent: int = Field(
        2,
        alias="MATRIX_PROFILE_MAX_CONCURRENT",
        ge=1,
        le=1000,
        description="analyses that run at once",
    )
    max_failures: int = Field(
        4,
        alias="MATRIX_PROFILE_MAX_FAILURES",
        ge=1,
        description="failed attempts after which a message is dead",
    )
    backoff_base: Seconds = Field(
        timedelta(seconds=10),
        alias="MATRIX_PROFILE_BACKOFF_SECONDS",
        ge=timedelta(seconds=0.1),
        description="seconds before the second attempt; doubles each time",
    )
    window: str = Field(
        "",
        alias="MATRIX_PROFILE_WINDOW",
        description="length of the patterns looked for, such as `24h` or a "
        "number of values; a day by default",
    )
    messages_per_tick: int = Field(
        10_000,
        alias="MATRIX_PROFILE_MESSAGES_PER_TICK",
        ge=1,
        description="messages that one tick takes at the most",
    )
    prefetch: int = Field(
        500,
        alias="MATRIX_PROFILE_PREFETCH",
        ge=1,
        le=10_000,
        description="unacknowledged messages held at once",
    )
    reconcile_interval: Seconds = Field(
        timedelta(minutes=10),
        alias="MATRIX_PROFILE_RECONCILE_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds between looks for jobs whose message was lost",
    )
    reconcile_grace: Seconds = Field(
        timedelta(minutes=5),
        alias="MATRIX_PROFILE_RECONCILE_GRACE_SECONDS",
        ge=timedelta(seconds=0),
        description="age in seconds from which an open job without an item "
        "counts as lost",
    )


class AnalysisSettings(Group):
    """Where analyses run, and how they do on a Kubernetes cluster."""

    title: ClassVar[str] = "Analyses"

    cluster: str = Field(
        "",
        alias="KUBERNETES_SERVICE_HOST",
        description="set by Kubernetes in every pod, not by you",
    )
    chosen: LauncherName | None = Field(
        None,
        alias="ANALYSIS_LAUNCHER",
        description="`kubernetes`: as Jobs of a cluster; `process`: on the "
        "worker's own machine; by default `kubernetes` inside a cluster and "
        "`process` elsewhere",
    )
    kube_context: str = Field(
        "",
        alias="ANALYSIS_KUBE_CONTEXT",
        description="context of the kubeconfig; by default the cluster that "
        "the worker is in, else the current context",
    )
    namespace: str = Field(
        "",
        alias="ANALYSIS_NAMESPACE",
        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$",
        max_length=63,
        description="namespace of the Jobs; by default the worker's own",
    )
    s3_login_from: str = Field(
        "",
        alias="ANALYSIS_S3_LOGIN_FROM",
        max_length=253,
        description="Secret that holds S3_ACCESS_KEY_ID and "
        "S3_SECRET_ACCESS_KEY for the Jobs; by default they are put into a "
        "Secret of each Job",
    )
    service_account: str = Field(
        "",
        alias="ANALYSIS_SERVICE_ACCOUNT",
        max_length=253,
        description="service account of the Jobs, which needs no rights; by "
        "default the namespace's",
    )
    registry_login_from: CommaList = Field(
        (),
        alias="ANALYSIS_REGISTRY_LOGIN_FROM",
        description="Secrets with the image registry's login, comma "
        "separated; those of the run launcher are used too",
    )
    k8s_config: str = Field(
        "",
        alias="ANALYSIS_K8S_CONFIG",
        description="JSON of what Dagster calls `dagster-k8s/config`: node "
        "selectors, tolerations, labels and the like of the Jobs",
    )
    cpu_request: str = Field(
        "1",
        alias="ANALYSIS_CPU_REQUEST",
        pattern=r"^([0-9]+|[0-9]*\.[0-9]+|[0-9]+m)$",
        description="processors that the cluster keeps for one Job, such as "
        "`2` or `500m`",
    )
    scratch_mib: int = Field(
        2048,
        alias="ANALYSIS_SCRATCH_MIB",
        ge=1,
        description="MiB of disk for the temporary files of one Job",
    )
    pending_timeout: Seconds = Field(
        timedelta(minutes=10),
        alias="ANALYSIS_PENDING_TIMEOUT_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(days=1),
        description="seconds that a Job may find no room before it is tried "
        "again later",
    )
    start_patience: Seconds = Field(
        timedelta(seconds=30),
        alias="ANALYSIS_START_PATIENCE_SECONDS",
        ge=timedelta(seconds=0),
        le=timedelta(hours=1),
        description="seconds that a fault of set-up (a missing Secret or "
        "service account, an image that can't be pulled) may last",
    )
    job_ttl: Seconds = Field(
        timedelta(minutes=10),
        alias="ANALYSIS_JOB_TTL_SECONDS",
        ge=timedelta(seconds=0),
        le=timedelta(days=7),
        description="seconds that a Job stays to be looked at, once its log "
        "and outcome are stored",
    )

    @field_validator("k8s_config")
    @classmethod
    def _is_json_object(cls, value: str) -> str:
        try:
            is_object = isinstance(json.loads(value or "{}"), dict)
        except ValueError:
            is_object = False
        if not is_object:
            msg = "a JSON object is expected"
            raise ValueError(msg)
        return value

    @property
    def launcher(self) -> LauncherName:
        """Where analyses run."""
        if self.chosen:
            return self.chosen
        inside = LauncherName.KUBERNETES
        return inside if self.cluster else LauncherName.PROCESS


class UserDidSettings(Group):
    """The user DID flow: how users are found, and who gets a DID."""

    title: ClassVar[str] = "User DIDs"

    page_size: int = Field(
        1_000,
        alias="USER_DIDS_PAGE_SIZE",
        ge=50,
        le=10_000,
        description="users that one call to Keycloak reads at the most",
    )
    sweep_budget: Seconds = Field(
        timedelta(seconds=10),
        alias="USER_DIDS_SWEEP_BUDGET_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(seconds=30),
        description="seconds that one tick may read pages of users; the next "
        "tick goes on",
    )
    reconcile_interval: Seconds = Field(
        timedelta(hours=1),
        alias="USER_DIDS_RECONCILE_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds after which all users are looked at again, "
        "although their count says that there is no need",
    )
    overlap: Seconds = Field(
        timedelta(minutes=10),
        alias="USER_DIDS_OVERLAP_SECONDS",
        ge=timedelta(),
        le=timedelta(days=7),
        description="seconds before the latest user's creation from which on "
        "users are asked for again, where Keycloak (26.6 or newer) filters by "
        "creation",
    )
    service_accounts: bool = Field(
        default=False,
        alias="USER_DIDS_SERVICE_ACCOUNTS",
        description="whether service accounts get a DID, `true` or `false`",
    )
    disabled_users: bool = Field(
        default=True,
        alias="USER_DIDS_DISABLED_USERS",
        description="whether disabled users get a DID, `true` or `false`",
    )
    batch_size: int = Field(
        300,
        alias="USER_DIDS_BATCH_SIZE",
        ge=1,
        le=2_000,
        description="users that travel in one run at the most",
    )
    max_failures: int = Field(
        10,
        alias="USER_DIDS_MAX_FAILURES",
        ge=1,
        description="failed attempts after which a user's item is dead",
    )
    backoff_base: Seconds = Field(
        timedelta(seconds=5),
        alias="USER_DIDS_BACKOFF_SECONDS",
        ge=timedelta(seconds=0.1),
        description="seconds before the second attempt; doubles each time, "
        "up to half an hour",
    )


class AssetProofSettings(Group):
    """The asset proof flow."""

    title: ClassVar[str] = "Asset proofs"

    objects_per_tick: int = Field(
        5_000,
        alias="ASSET_PROOFS_OBJECTS_PER_TICK",
        ge=1,
        description="new objects that one tick reads at the most",
    )
    look_back: Seconds = Field(
        timedelta(minutes=2),
        alias="ASSET_PROOFS_LOOK_BACK_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds that the platform may take to store an upload; "
        "objects with a lower number may show up so much later",
    )
    reconcile_interval: Seconds = Field(
        timedelta(hours=1),
        alias="ASSET_PROOFS_RECONCILE_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds after which all objects without a proof are "
        "looked at again",
    )
    batch_size: int = Field(
        300,
        alias="ASSET_PROOFS_BATCH_SIZE",
        ge=1,
        le=2_000,
        description="objects that travel in one run at the most",
    )
    max_failures: int = Field(
        10,
        alias="ASSET_PROOFS_MAX_FAILURES",
        ge=1,
        description="failed attempts after which an object's item is dead",
    )
    backoff_base: Seconds = Field(
        timedelta(seconds=5),
        alias="ASSET_PROOFS_BACKOFF_SECONDS",
        ge=timedelta(seconds=0.1),
        description="seconds before the second attempt; doubles each time, "
        "up to half an hour",
    )


class KeySource(StrEnum):
    """Where the keys of the data services are kept."""

    NONE = "none"
    FOLDER = "folder"
    VAULT = "vault"
    KUBERNETES = "kubernetes"


class DataServiceSettings(Group):
    """The data services, and the keys of their pseudonyms."""

    title: ClassVar[str] = "Data services"

    scratch_dir: str = Field(
        "",
        alias="DATA_SERVICES_SCRATCH_DIR",
        description="folder of a run's working files, a few times its data; "
        "the system's temporary one by default",
    )
    column_case: str = Field(
        "exact",
        alias="DATA_SERVICES_COLUMN_CASE",
        pattern="^(exact|ignore)$",
        description="`exact`, or `ignore` to take column `Name` for `name`",
    )
    key_source: KeySource = Field(
        KeySource.NONE,
        alias="DATA_KEYS_SOURCE",
        description="`none`, `folder`, `vault` (or OpenBao) or `kubernetes`",
    )
    key_folder: str = Field(
        "",
        alias="DATA_KEYS_FOLDER",
        description="folder with a file for each key, such as a mounted "
        "Secret",
    )
    key_secret: Name = Field(
        "moderate-data-keys",
        alias="DATA_KEYS_SECRET",
        description="Kubernetes Secret with an entry for each key",
    )
    key_namespace: Name = Field(
        "default",
        alias="DATA_KEYS_NAMESPACE",
        description="namespace of that Secret",
    )
    vault_url: PeerUrl = Field(
        HttpUrl("https://127.0.0.1:8200"),
        alias="VAULT_ADDR",
        description="URL of OpenBao or Vault, http or https",
    )
    vault_token: SecretStr = Field(
        SecretStr(""),
        alias="VAULT_TOKEN",
        description="a token that may read the keys",
    )
    vault_token_file: str = Field(
        "",
        alias="VAULT_TOKEN_FILE",
        description="file with that token, as an agent writes it",
    )
    vault_role: str = Field(
        "",
        alias="VAULT_ROLE",
        description="role of the Kubernetes auth method, in place of a token",
    )
    vault_mount: Name = Field(
        "secret",
        alias="VAULT_MOUNT",
        description="mount of the key-value engine",
    )
    vault_path: Name = Field(
        "encryption_keys",
        alias="VAULT_KEYS_PATH",
        description="folder of the keys in it",
    )
    vault_version: int = Field(
        2,
        alias="VAULT_KV_VERSION",
        ge=1,
        le=2,
        description="version of the key-value engine, 1 or 2",
    )


class NotificationSettings(Group):
    """Who is told of the ends of runs."""

    title: ClassVar[str] = "Notifications"

    webhook_url: SecretStr = Field(
        alias="NOTIFY_WEBHOOK_URL",
        description="URL that takes a POST of JSON; a secret, as it may hold "
        "a token",
    )


def _mirrors(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"\w+=\S+", pair) for pair in value):
        msg = "name=url, comma separated, is expected"
        raise ValueError(msg)
    return value


class DatasetSettings(Group):
    """The flow that brings open datasets to the platform."""

    title: ClassVar[str] = "Datasets"

    work_dir: str = Field(
        "",
        alias="DATASETS_WORK_DIR",
        description="folder of files on their way, with room for three times "
        "what has changed; by default `.local/state/moderate/datasets` in the "
        "user's home",
    )
    mirrors: Annotated[CommaList, AfterValidator(_mirrors)] = Field(
        (),
        alias="DATASETS_MIRRORS",
        description="other repositories to take datasets from, as "
        "`name=url`, comma separated; https, ssh or file, without login",
    )
    git_timeout: Seconds = Field(
        timedelta(hours=1),
        alias="DATASETS_GIT_TIMEOUT_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds that one command of Git may take, for instance "
        "to fetch one file of Git LFS",
    )

    def mirror_of(self, dataset: str) -> str | None:
        """Return the repository that stands in for a dataset's own."""
        pairs = (pair.partition("=") for pair in self.mirrors)
        return next((url for name, _, url in pairs if name == dataset), None)


@dataclass(frozen=True)
class FlowState:
    """Whether a flow is on, and which variables it misses if it is off."""

    name: str
    missing: tuple[str, ...]

    @property
    def is_on(self) -> bool:
        """Say whether everything that the flow needs is set."""
        return not self.missing

    def why_off(self) -> str:
        """Say in a sentence which settings switch the flow on."""
        return f"flow {self.name} is off: set {', '.join(self.missing)}"


@dataclass(frozen=True)
class Settings:
    """All groups; a group that is absent is ``None``."""

    service: ServiceSettings
    datasets: DatasetSettings
    matrix_profile: MatrixProfileSettings
    analyses: AnalysisSettings
    user_dids: UserDidSettings
    asset_proofs: AssetProofSettings
    data_services: DataServiceSettings
    notifications: NotificationSettings | None = None
    postgres: PostgresSettings | None = None
    keycloak: KeycloakSettings | None = None
    open_metadata: OpenMetadataSettings | None = None
    s3: S3Settings | None = None
    platform_api: PlatformApiSettings | None = None
    rabbit: RabbitSettings | None = None

    def flow(self, name: str) -> FlowState:
        """Say whether the flow ``name`` is on.

        Raises:
            KeyError: There is no flow of that name.
        """
        return FlowState(name, tuple(self._missing(FLOW_NEEDS[name])))

    def flows(self) -> Sequence[FlowState]:
        """Say for every flow whether it is on."""
        return [self.flow(name) for name in FLOW_NEEDS]

    def secrets(self) -> tuple[SecretStr, ...]:
        """Return every secret that is set, for redaction."""
        groups = (getattr(self, name) for name in GROUPS)
        values = (value for group in groups if group for _, value in group)
        return tuple(v for v in values if isinstance(v, SecretStr) and v)

    def _missing(self, needs: Sequence[str]) -> list[str]:
        return [
            variable
            for need in needs
            if getattr(self, need) is None
            for variable, field in GROUPS[need].variables().items()
            if field.is_required()
        ]


GROUPS: Mapping[str, type[Group]] = {
    "service": ServiceSettings,
    "postgres": PostgresSettings,
    "keycloak": KeycloakSettings,
    "open_metadata": OpenMetadataSettings,
    "s3": S3Settings,
    "platform_api": PlatformApiSettings,
    "rabbit": RabbitSettings,
    "matrix_profile": MatrixProfileSettings,
    "analyses": AnalysisSettings,
    "user_dids": UserDidSettings,
    "asset_proofs": AssetProofSettings,
    "data_services": DataServiceSettings,
    "notifications": NotificationSettings,
    "datasets": DatasetSettings,
}

FLOW_NEEDS: Mapping[str, Sequence[str]] = {
    "matrix_profile": ("postgres", "s3", "platform_api", "rabbit"),
    "user_dids": ("postgres", "keycloak", "platform_api"),
    "asset_proofs": ("postgres", "platform_api"),
    "datasets": ("postgres", "platform_api"),
}


HIDDEN = "a wrong value (hidden)"


@dataclass(frozen=True)
class Fault:
    """One thing wrong with the environment."""

    variable: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.variable}: found {self.found}; {self.expected}"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read all settings from ``environ`` (the process's own by default).

    Raises:
        SettingsError: Lists every missing or wrong variable.
    """
    source = os.environ if environ is None else environ
    groups: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, group in GROUPS.items():
        if group.is_absent(source):
            continue
        try:
            groups[name] = group.read(source)
        except ValidationError as error:
            faults += _faults(group, source, error)
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        msg = f"{len(faults)} setting(s) missing or wrong:\n{lines}"
        raise SettingsError(msg)
    return Settings(**groups)


@cache
def process_settings() -> Settings:
    """Return the settings of this process, read once.

    Raises:
        SettingsError: Lists every missing or wrong variable.
    """
    return load_settings()


def is_secret(field: FieldInfo) -> bool:
    """Say whether a setting's value must never be shown."""
    return field.annotation is SecretStr


def _faults(
    group: type[Group],
    environ: Mapping[str, str],
    error: ValidationError,
) -> list[Fault]:
    return [
        _fault(group, environ, detail)
        for detail in error.errors(include_url=False, include_context=False)
    ]


def _fault(
    group: type[Group],
    environ: Mapping[str, str],
    detail: Any,
) -> Fault:
    name = str(detail["loc"][0])
    # A default that does not fit goes by the name of its field.
    field = group.model_fields.get(name) or group.variables()[name]
    variable = str(field.alias)
    expected = f"expected: {field.description}"
    if detail["type"] == "missing":
        return Fault(variable, "nothing", expected)
    if is_secret(field):
        return Fault(variable, HIDDEN, expected)
    found = _shown(environ.get(variable))
    return Fault(variable, found, f"{expected} ({detail['msg']})")


def _shown(given: str | None) -> str:
    if not given:
        return "its default"
    # A value with an @ may be a URL with somebody's password.
    return HIDDEN if "@" in given else repr(given[:80])
