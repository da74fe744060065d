"""l-diversity: every class has l sensitive values or more."""

from dagster import OpExecutionContext, op
from pydantic import Field

from moderate.flows.data_services.anonymising import AnonymiseConfig, apply
from moderate.flows.data_services.building import jobs_of
from moderate.flows.data_services.resources import (
    NamedS3Resource,
    ScratchResource,
)
from moderate.flows.data_services.running import (
    TableHandle,
    choice,
    one_line,
)


class LDiversityConfig(AnonymiseConfig):
    """What is asked for."""

    sensitive_attribute: str = Field(description="the column to protect")
    l: float = Field(  # noqa: E741  # the literature's name
        description="least diversity of a class"
    )
    diversity: str = Field("distinct", description="distinct or entropy")


@op
def apply_l_diversity(
    context: OpExecutionContext,
    config: LDiversityConfig,
    scratch: ScratchResource,
    s3: NamedS3Resource,
    table: TableHandle,
) -> TableHandle:
    """Generalise until every class has l sensitive values or more."""
    from moderate.dataservices.rules import Diversity  # noqa: PLC0415

    with one_line():
        diversity = choice(Diversity, config.diversity, "diversity")
    return apply(
        context,
        config,
        table,
        scratch,
        s3,
        sensitive=(config.sensitive_attribute,),
        l_value=config.l,
        diversity=diversity,
    )


JOBS = jobs_of(["l_diversity_job"], "ANONYMISATION", [apply_l_diversity])
