"""Read all groups from the environment, and say all that is wrong at once."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from moderate.errors import SettingsError
from moderate.settings.analyses import (
    AnalysisSettings,
    MatrixProfileSettings,
)
from moderate.settings.data_services import (
    DataServiceSettings,
)
from moderate.settings.datasets import (
    DatasetSettings,
)
from moderate.settings.fastpath import FastPathSettings
from moderate.settings.fields import (
    Group,
)
from moderate.settings.metadata import (
    MetadataSettings,
)
from moderate.settings.operations import OperationsSettings
from moderate.settings.peers import (
    KeycloakSettings,
    OpenMetadataSettings,
    PlatformApiSettings,
    PostgresSettings,
    RabbitSettings,
    S3Settings,
)
from moderate.settings.service import (
    NotificationSettings,
    ServiceSettings,
)
from moderate.settings.trust import (
    AssetProofSettings,
    UserDidSettings,
)


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
    operations: OperationsSettings
    datasets: DatasetSettings
    matrix_profile: MatrixProfileSettings
    analyses: AnalysisSettings
    user_dids: UserDidSettings
    asset_proofs: AssetProofSettings
    data_services: DataServiceSettings
    metadata: MetadataSettings
    fast_path: FastPathSettings
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
    "operations": OperationsSettings,
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
    "metadata": MetadataSettings,
    "fast_path": FastPathSettings,
}

FLOW_NEEDS: Mapping[str, Sequence[str]] = {
    "matrix_profile": ("postgres", "s3", "platform_api", "rabbit"),
    "user_dids": ("postgres", "keycloak", "platform_api"),
    "asset_proofs": ("postgres", "platform_api"),
    "datasets": ("postgres", "platform_api"),
    "postgres_ingestion": ("postgres", "open_metadata"),
    "datalake_ingestion": ("postgres", "s3", "open_metadata"),
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
