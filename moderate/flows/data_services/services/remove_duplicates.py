"""Removes duplicate rows."""

from typing import Any

from dagster import Config, OpExecutionContext, op
from pydantic import Field

from moderate.flows.data_services.building import jobs_of
from moderate.flows.data_services.resources import ScratchResource
from moderate.flows.data_services.running import (
    TableHandle,
    choice,
    ignore_case,
    output_path,
    service,
)


class DuplicatesConfig(Config):
    """What counts as equal, and what stays."""

    columns: list[str] = Field([], description="compared; all if empty")
    keep: str = Field("first", description="first, last or none")
    ignore_case: bool = Field(
        default=False, description="compare without case"
    )
    ignore_blanks: bool = Field(
        default=False, description="compare without blanks around and doubled"
    )


@op
def remove_duplicates(
    context: OpExecutionContext,
    config: DuplicatesConfig,
    scratch: ScratchResource,
    table: TableHandle,
) -> TableHandle:
    """Remove rows that are equal to another, in all or in some columns."""
    from moderate.dataservices import duplicates  # noqa: PLC0415

    metrics: dict[str, Any] = {}
    with service(context, metrics):
        request = duplicates.DuplicateRequest(
            columns=tuple(config.columns),
            keep=choice(duplicates.Keep, config.keep, "keep"),
            ignore_case=config.ignore_case,
            ignore_blanks=config.ignore_blanks,
            ignore_column_case=ignore_case(),
        )
        path = output_path(context, scratch.folder, table)
        output, report = duplicates.remove_duplicates(table, request, path)
        metrics |= {
            "rows_processed": report.rows,
            "rows_removed": report.removed,
            "columns_transformed": [],
            "techniques_applied": [f"deduplication ({request.keep})"],
        }
    return output


JOBS = jobs_of(["remove_duplicates_job"], "DATA_CLEANING", [remove_duplicates])
