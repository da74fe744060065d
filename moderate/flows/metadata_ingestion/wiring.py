"""Makes the ingestions of settings."""

from moderate.clients.object_storage import ObjectStorage
from moderate.clients.open_metadata import OpenMetadata
from moderate.errors import SettingsError
from moderate.flows.metadata_ingestion.catalogue import Catalogue
from moderate.flows.metadata_ingestion.ingestion import Eye, Ingestion
from moderate.flows.metadata_ingestion.prefixes import Prefixes
from moderate.flows.metadata_ingestion.task import LakePlace, PostgresPlace
from moderate.inbox.database import Address
from moderate.inbox.metadata_sources import Flow, MetadataSources
from moderate.resources import given
from moderate.settings import (
    OpenMetadataSettings,
    PostgresSettings,
    S3Settings,
    Settings,
)


def require(settings: Settings, flow: Flow) -> None:
    """See that a flow is on.

    Raises:
        SettingsError: It is off; names what is missing.
    """
    state = settings.flow(f"{flow}_ingestion")
    if not state.is_on:
        raise SettingsError(state.why_off())


def postgres_ingestion(
    settings: Settings, inbox: Address, server: OpenMetadata
) -> Ingestion:
    """Return the ingestion of databases.

    Raises:
        SettingsError: The flow is off.
    """
    require(settings, Flow.POSTGRES)
    postgres = given(settings.postgres, PostgresSettings)
    place = PostgresPlace(
        postgres.host,
        postgres.port,
        postgres.username,
        postgres.password,
        postgres.sslmode,
    )
    at = Catalogue(postgres, settings.metadata.ignored_databases)
    eye = Eye(at, place)
    return _ingestion(Flow.POSTGRES, settings, eye, inbox, server)


def datalake_ingestion(
    settings: Settings,
    inbox: Address,
    server: OpenMetadata,
    storage: ObjectStorage,
) -> Ingestion:
    """Return the ingestion of prefixes.

    Raises:
        SettingsError: The flow is off.
    """
    require(settings, Flow.DATALAKE)
    s3 = given(settings.s3, S3Settings)
    place = LakePlace(
        s3.bucket,
        str(s3.endpoint_url),
        s3.region,
        s3.access_key_id,
        s3.secret_access_key,
    )
    own = settings.metadata
    at = Prefixes(storage, s3.bucket, own.max_objects, own.ignored_prefixes)
    eye = Eye(at, place)
    return _ingestion(Flow.DATALAKE, settings, eye, inbox, server)


def _ingestion(
    flow: Flow,
    settings: Settings,
    eye: Eye,
    inbox: Address,
    server: OpenMetadata,
) -> Ingestion:
    return Ingestion(
        flow=flow,
        eye=eye,
        memory=MetadataSources(inbox),
        server=server,
        address=given(settings.open_metadata, OpenMetadataSettings),
        settings=settings.metadata,
        service=settings.service,
    )
