"""t-closeness: every class's sensitive values are spread as all are."""

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


class TClosenessConfig(AnonymiseConfig):
    """What is asked for."""

    sensitive_attribute: str = Field(description="the column to protect")
    t: float = Field(description="greatest distance of a class, 0 to 1")
    distance: str = Field(
        "auto", description="ordered (numbers), equal, or auto"
    )


@op
def apply_t_closeness(
    context: OpExecutionContext,
    config: TClosenessConfig,
    scratch: ScratchResource,
    s3: NamedS3Resource,
    table: TableHandle,
) -> TableHandle:
    """Generalise until every class's sensitive values are spread as all."""
    from moderate.dataservices.requests import Measure  # noqa: PLC0415

    with one_line():
        measure = choice(Measure, config.distance, "distance")
    return apply(
        context,
        config,
        table,
        scratch,
        s3,
        sensitive=(config.sensitive_attribute,),
        t=config.t,
        measure=measure,
    )


JOBS = jobs_of(["t_closeness_job"], "ANONYMISATION", [apply_t_closeness])
