"""Every environment variable of the service, typed and in groups.

A group whose required variables are all absent is ``None``: the flows that
need it are off and say so. A group that is there but incomplete or wrong is
a fault, and all faults of all groups are reported at once, by variable name,
so that a person mends a deployment in one go. A secret's value is never part
of a report.

This table is the only place where the environment is read.
"""

from moderate.settings.analyses import (
    AnalysisSettings,
    LauncherName,
    MatrixProfileSettings,
)
from moderate.settings.data_services import (
    DataServiceSettings,
    KeySource,
)
from moderate.settings.datasets import (
    DatasetSettings,
)
from moderate.settings.fastpath import FastPathSettings
from moderate.settings.fields import (
    CommaList,
    Group,
    Name,
    PeerUrl,
    Port,
    Seconds,
)
from moderate.settings.loading import (
    FLOW_NEEDS,
    GROUPS,
    Fault,
    FlowState,
    Settings,
    is_secret,
    load_settings,
    process_settings,
)
from moderate.settings.metadata import (
    MetadataExecutor,
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
    HEARTBEATS_MISSED,
    LogFormat,
    NoticeShape,
    NotificationSettings,
    ServiceSettings,
)
from moderate.settings.trust import (
    AssetProofSettings,
    UserDidSettings,
)

__all__ = [
    "FLOW_NEEDS",
    "GROUPS",
    "HEARTBEATS_MISSED",
    "AnalysisSettings",
    "AssetProofSettings",
    "CommaList",
    "DataServiceSettings",
    "DatasetSettings",
    "FastPathSettings",
    "Fault",
    "FlowState",
    "Group",
    "KeySource",
    "KeycloakSettings",
    "LauncherName",
    "LogFormat",
    "MatrixProfileSettings",
    "MetadataExecutor",
    "MetadataSettings",
    "Name",
    "NoticeShape",
    "NotificationSettings",
    "OpenMetadataSettings",
    "OperationsSettings",
    "PeerUrl",
    "PlatformApiSettings",
    "Port",
    "PostgresSettings",
    "RabbitSettings",
    "S3Settings",
    "Seconds",
    "ServiceSettings",
    "Settings",
    "UserDidSettings",
    "is_secret",
    "load_settings",
    "process_settings",
]
