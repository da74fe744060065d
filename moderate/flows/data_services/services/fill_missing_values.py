"""Fills missing values."""

from typing import Any

from dagster import Config, OpExecutionContext, op
from pydantic import Field

from moderate.flows.data_services.building import jobs_of
from moderate.flows.data_services.metadata import table as shown
from moderate.flows.data_services.resources import ScratchResource
from moderate.flows.data_services.running import (
    TableHandle,
    ignore_case,
    output_path,
    service,
)


class FillConfig(Config):
    """How each column is filled."""

    columns: dict[str, Any] = Field(
        {},
        description="by column: constant, mean, median, mode, forward,"
        " backward or time, or {method, value, time_column}; none: numbers"
        " by their median, others by their most frequent value",
    )


@op
def fill_missing_values(
    context: OpExecutionContext,
    config: FillConfig,
    scratch: ScratchResource,
    table: TableHandle,
) -> TableHandle:
    """Fill missing values, each column in its own way."""
    from moderate.dataservices import filling  # noqa: PLC0415

    metrics: dict[str, Any] = {}
    with service(context, metrics):
        output, report = filling.fill_missing(
            table,
            filling.parse(config.columns),
            output_path(context, scratch.folder, table),
            ignore_case=ignore_case(),
        )
        metrics |= {
            "rows_processed": report.rows,
            "values_filled": sum(report.filled.values()),
            "columns_transformed": list(report.filled),
            "techniques_applied": sorted(set(report.methods.values())),
        }
        if report.filled:
            metrics["filled"] = shown(
                [
                    {
                        "column": name,
                        "method": report.methods[name],
                        "filled": count,
                        "still missing": report.left[name],
                    }
                    for name, count in report.filled.items()
                ]
            )
    return output


JOBS = jobs_of(
    ["fill_missing_values_job"], "DATA_CLEANING", [fill_missing_values]
)
