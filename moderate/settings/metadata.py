"""The flow that brings metadata and profiles into OpenMetadata."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from moderate.settings.fields import (
    CommaList,
    Group,
    Name,
    Seconds,
)

MIB = 1024 * 1024


class MetadataExecutor(StrEnum):
    """Where the steps of an ingestion run."""

    PROCESSES = "processes"
    PODS = "pods"


def _patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in value:
        try:
            re.compile(pattern)
        except re.error as error:
            msg = f"regular expressions are expected: {error}"
            raise ValueError(msg) from error
    return value


Patterns = Annotated[CommaList, AfterValidator(_patterns)]


class MetadataSettings(Group):
    """Metadata and profiles of databases and of objects."""

    title: ClassVar[str] = "Metadata ingestion"

    postgres_service: Name = Field(
        "platform-postgres",
        alias="METADATA_POSTGRES_SERVICE",
        description="how the names of databases' services in OpenMetadata "
        "begin; one that was found already keeps its name",
    )
    datalake_service: Name = Field(
        "platform-datalake",
        alias="METADATA_DATALAKE_SERVICE",
        description="how the names of prefixes' services in OpenMetadata "
        "begin; one that was found already keeps its name",
    )
    postgres_schedule: Name = Field(
        "0 0 * * *",
        alias="METADATA_POSTGRES_SCHEDULE",
        description="when databases are looked at, as cron writes it, in UTC",
    )
    datalake_schedule: Name = Field(
        "0 12 * * *",
        alias="METADATA_DATALAKE_SCHEDULE",
        description="when prefixes are looked at, as cron writes it, in UTC",
    )
    ignored_databases: Patterns = Field(
        ("template.*", "postgres", "dagster"),
        alias="METADATA_IGNORED_DATABASES",
        description="regular expressions, comma separated; a database whose "
        "whole name matches one is left out, and so is the inbox's",
    )
    ignored_prefixes: Patterns = Field(
        (),
        alias="METADATA_IGNORED_PREFIXES",
        description="the same for prefixes, their slash included",
    )
    executor: MetadataExecutor = Field(
        MetadataExecutor.PROCESSES,
        alias="METADATA_EXECUTOR",
        description="`processes`: all steps in the run's own pod or process; "
        "`pods`: each step in a pod of its own (Kubernetes only)",
    )
    workers: int = Field(
        2,
        alias="METADATA_WORKERS",
        ge=1,
        le=32,
        description="ingestions at the same time, each in a process",
    )
    memory_limit_mib: int = Field(
        1024,
        alias="METADATA_MEMORY_LIMIT_MIB",
        ge=400,
        description="MiB that one ingestion may use; one that needs more "
        "fails alone",
    )
    step_timeout: Seconds = Field(
        timedelta(hours=4),
        alias="METADATA_STEP_TIMEOUT_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds that one ingestion may take",
    )
    max_failures: int = Field(
        0,
        alias="METADATA_MAX_FAILURES",
        ge=0,
        description="tables that may fail in a step that is called a success",
    )
    profile_max_age: Seconds = Field(
        timedelta(days=7),
        alias="METADATA_PROFILE_MAX_AGE_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds after which a profile is made again though its "
        "rows seem unchanged",
    )
    sample_rows: int = Field(
        50_000,
        alias="METADATA_SAMPLE_ROWS",
        ge=1,
        description="rows that a profile is made of at the most; their "
        "number is counted over all",
    )
    sample_data: bool = Field(
        default=False,
        alias="METADATA_SAMPLE_DATA",
        description="whether OpenMetadata gets some rows to show, which may "
        "be personal data",
    )
    max_objects: int = Field(
        100_000,
        alias="METADATA_MAX_OBJECTS",
        ge=1,
        description="objects that a prefix may have; one with more fails "
        "alone",
    )
    store_connections: bool = Field(
        default=False,
        alias="METADATA_STORE_CONNECTIONS",
        description="whether OpenMetadata gets to keep the connection of a "
        "service, with its password, for ingestions of its own",
    )

    @property
    def memory_limit(self) -> int:
        """Bytes that one ingestion may use."""
        return self.memory_limit_mib * MIB
