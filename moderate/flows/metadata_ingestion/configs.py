"""The framework's configuration of a task, in its own generated models.

Imported in the workshop's processes only: the first import of ``metadata``
costs seconds.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from moderate.flows.metadata_ingestion.fqns import fqn_of, schema_fqn_of
from moderate.flows.metadata_ingestion.plan import PROCEDURE, TABLE
from moderate.flows.metadata_ingestion.task import (
    LakePlace,
    PostgresPlace,
    Task,
)
from moderate.inbox.metadata_sources import Step

if TYPE_CHECKING:
    from metadata.generated.schema.entity.services.connections.metadata import (  # noqa: E501
        openMetadataConnection,
    )
    from metadata.generated.schema.metadataIngestion.workflow import (
        OpenMetadataWorkflowConfig,
    )
    from metadata.generated.schema.type.filterPattern import FilterPattern

THREADS = 2
"""That one process works on a source with."""

LOG_LEVEL = "WARN"
"""Of the framework; below that it tells of every table."""

POWERS = 5
"""Of ten, by which a table may be larger than its sample."""

VERIFYING = ("verify-ca", "verify-full")
"""TLS modes in which the server's certificate is verified."""

NEVER = "(?!)"
"""A regular expression that nothing matches."""


def workflow_config(task: Task) -> "OpenMetadataWorkflowConfig":
    """Return what the framework's workflow of a task is made of.

    Raises:
        ValidationError: Something does not fit the framework's models.
    """
    from metadata.generated.schema.metadataIngestion.workflow import (
        LogLevels,
        OpenMetadataWorkflowConfig,
        Processor,
        Sink,
        Source,
        WorkflowConfig,
    )

    profile = task.step is Step.PROFILE
    return OpenMetadataWorkflowConfig(
        source=Source(
            type=_source_type(task),
            serviceName=task.source.service,
            serviceConnection=_service_connection(task),
            sourceConfig=(
                _profiler_pipeline(task)
                if profile
                else _metadata_pipeline(task)
            ),
        ),
        processor=(
            Processor(type="orm-profiler", config={}) if profile else None
        ),
        sink=Sink(type="metadata-rest", config={}),
        workflowConfig=WorkflowConfig(
            loggerLevel=LogLevels(LOG_LEVEL),
            openMetadataServerConfig=server_config(task),
        ),
    )


def server_config(
    task: Task,
) -> "openMetadataConnection.OpenMetadataConnection":
    """Return how the framework reaches the server."""
    from metadata.generated.schema.entity.services.connections.metadata.openMetadataConnection import (  # noqa: E501
        AuthProvider,
        OpenMetadataConnection,
    )
    from metadata.generated.schema.security.client.openMetadataJWTClientConfig import (  # noqa: E501
        OpenMetadataJWTClientConfig,
    )
    from metadata.generated.schema.security.ssl.verifySSLConfig import (
        VerifySSL,
    )

    token = task.server.token.get_secret_value()
    return OpenMetadataConnection(
        hostPort=task.server.url,
        authProvider=AuthProvider.openmetadata,
        securityConfig=OpenMetadataJWTClientConfig(jwtToken=token),
        # Means: with the system's certificates.
        verifySSL=VerifySSL.no_ssl,
        # The 2.0 client refuses the 1.12 server that it was recorded with.
        enableVersionValidation=False,
        storeServiceConnection=task.store_connection,
    )


def exactly(names: Iterable[str]) -> "FilterPattern":
    """Return a pattern that only these names match.

    One expression: the framework compiles each of them for each name. It
    ignores case, so that is switched off inside.
    """
    from metadata.generated.schema.type.filterPattern import (
        FilterPattern,
    )

    escaped = "|".join(re.escape(name) for name in sorted(names))
    pattern = rf"(?-i:{escaped})\Z" if escaped else NEVER
    return FilterPattern(includes=[pattern])


def _source_type(task: Task) -> str:
    return "postgres" if isinstance(task.place, PostgresPlace) else "datalake"


def _metadata_pipeline(task: Task) -> Any:
    from metadata.generated.schema.metadataIngestion.databaseServiceMetadataPipeline import (  # noqa: E501
        DatabaseMetadataConfigType,
        DatabaseServiceMetadataPipeline,
    )
    from metadata.generated.schema.metadataIngestion.workflow import (
        SourceConfig,
    )

    tables = [part for part in task.changed if part.kind == TABLE]
    procedures = [part for part in task.changed if part.kind == PROCEDURE]
    return SourceConfig(
        config=DatabaseServiceMetadataPipeline(
            type=DatabaseMetadataConfigType.DatabaseMetadata,
            includeTables=bool(tables),
            includeViews=bool(tables),
            includeStoredProcedures=bool(procedures),
            # A run that saw a few tables would take all others for deleted;
            # what is gone is told by our own difference.
            markDeletedTables=False,
            markDeletedStoredProcedures=False,
            markDeletedSchemas=False,
            markDeletedDatabases=False,
            overrideMetadata=False,
            includeTags=True,
            useFqnForFiltering=True,
            threads=1,
            **_narrowing(task),
        )
    )


def _narrowing(task: Task) -> dict[str, "FilterPattern"]:
    def of(kind: str) -> list[str]:
        return [fqn_of(task, p) for p in task.changed if p.kind == kind]

    schemas = {
        fqn
        for part in task.changed
        if (fqn := schema_fqn_of(task, part)) is not None
    }
    # Also where all is wanted: the server's own schemas never are.
    of_schemas = {"schemaFilterPattern": exactly(schemas)}
    # Of objects only those are listed that are wanted.
    if task.whole or isinstance(task.place, LakePlace):
        return of_schemas
    return of_schemas | {
        "tableFilterPattern": exactly(of(TABLE)),
        "storedProcedureFilterPattern": exactly(of(PROCEDURE)),
    }


def _profiler_pipeline(task: Task) -> Any:
    from metadata.generated.schema.metadataIngestion.databaseServiceProfilerPipeline import (  # noqa: E501
        DatabaseServiceProfilerPipeline,
        ProfilerConfigType,
    )
    from metadata.generated.schema.metadataIngestion.workflow import (
        SourceConfig,
    )

    # Samples of objects are our own: see ``sampling``.
    sampled = isinstance(task.place, PostgresPlace)
    return SourceConfig(
        config=DatabaseServiceProfilerPipeline(
            type=ProfilerConfigType.Profiler,
            includeViews=False,
            threadCount=THREADS,
            profileSampleConfig=(
                _sampling(task.limits.sample_rows) if sampled else None
            ),
        )
    )


def _sampling(rows: int) -> Any:
    """Return a sample of blocks of at most ``rows`` rows, by table size."""
    from metadata.generated.schema.type.basic import (
        ProfileSampleType,
        SamplingMethodType,
    )
    from metadata.generated.schema.type.dynamicSamplingConfig import (
        DynamicSamplingConfig,
        Threshold,
    )
    from metadata.generated.schema.type.samplingConfig import (
        ProfileSampleConfig,
        SampleConfigType,
    )

    thresholds = [
        Threshold(
            rowCountThreshold=rows * 10**power,
            profileSample=100 / 10 ** (power + 1),
            profileSampleType=ProfileSampleType.PERCENTAGE,
            samplingMethodType=SamplingMethodType.SYSTEM,
        )
        for power in range(POWERS)
    ]
    return ProfileSampleConfig(
        sampleConfigType=SampleConfigType.DYNAMIC,
        config=DynamicSamplingConfig(
            smartSampling=False, thresholds=thresholds
        ),
    )


def _service_connection(task: Task) -> Any:
    from metadata.generated.schema.entity.services.connections.serviceConnection import (  # noqa: E501
        ServiceConnection,
    )
    from metadata.generated.schema.entity.services.databaseService import (
        DatabaseConnection,
    )

    place = task.place
    config = (
        _postgres(task.source.name, place)
        if isinstance(place, PostgresPlace)
        else _datalake(task.source.name, place)
    )
    return ServiceConnection(root=DatabaseConnection(config=config))


def _postgres(database: str, place: PostgresPlace) -> Any:
    from metadata.generated.schema.entity.services.connections.connectionBasicType import (  # noqa: E501
        ConnectionArguments,
    )
    from metadata.generated.schema.entity.services.connections.database.common.basicAuth import (  # noqa: E501
        BasicAuth,
    )
    from metadata.generated.schema.entity.services.connections.database.postgresConnection import (  # noqa: E501
        PostgresConnection,
        PostgresScheme,
        PostgresType,
    )
    from metadata.generated.schema.security.ssl.verifySSLConfig import (
        SslMode,
    )

    mode = SslMode(place.sslmode)
    # What is not set is lost on the profiler's way, and then this would be
    # taken for the first of a hundred kinds of connections that fits.
    return PostgresConnection(
        type=PostgresType.Postgres,
        scheme=PostgresScheme.postgresql_psycopg2,
        username=place.username,
        authType=BasicAuth(password=place.password.get_secret_value()),
        hostPort=_host_port(place),
        database=database,
        ingestAllDatabases=False,
        # Where it verifies it wants the authority itself, not libpq's file.
        sslMode=None if place.sslmode in VERIFYING else mode,
        connectionArguments=ConnectionArguments(
            root={"dbname": database, "sslmode": mode.value}
        ),
    )


def _host_port(place: PostgresPlace) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"{host}:{place.port}"


def _datalake(prefix: str, place: LakePlace) -> Any:
    from metadata.generated.schema.entity.services.connections.database.datalake.s3Config import (  # noqa: E501
        S3Config,
    )
    from metadata.generated.schema.entity.services.connections.database.datalakeConnection import (  # noqa: E501
        DatalakeConnection,
        DatalakeType,
    )
    from metadata.generated.schema.security.credentials.awsCredentials import (
        AWSCredentials,
    )

    return DatalakeConnection(
        type=DatalakeType.Datalake,
        configSource=S3Config(
            securityConfig=AWSCredentials(
                awsAccessKeyId=place.access_key_id,
                awsSecretAccessKey=place.secret_access_key.get_secret_value(),
                awsRegion=place.region,
                endPointURL=place.endpoint_url,
            )
        ),
        bucketName=place.bucket,
        prefix=prefix,
    )
