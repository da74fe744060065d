"""k-anonymity: every row is like at least k - 1 others."""

from dagster import OpExecutionContext, op
from pydantic import Field

from moderate.flows.data_services.anonymising import AnonymiseConfig, apply
from moderate.flows.data_services.building import jobs_of
from moderate.flows.data_services.resources import (
    NamedS3Resource,
    ScratchResource,
)
from moderate.flows.data_services.running import TableHandle


class KAnonymityConfig(AnonymiseConfig):
    """What is asked for."""

    sensitive_attributes: list[str] = Field(
        [], description="columns that stay as they are; they must exist"
    )


@op
def apply_k_anonymity(
    context: OpExecutionContext,
    config: KAnonymityConfig,
    scratch: ScratchResource,
    s3: NamedS3Resource,
    table: TableHandle,
) -> TableHandle:
    """Generalise until every row is like at least k - 1 others."""
    return apply(
        context,
        config,
        table,
        scratch,
        s3,
        sensitive=tuple(config.sensitive_attributes),
    )


JOBS = jobs_of(["k_anonymity_job"], "ANONYMISATION", [apply_k_anonymity])
