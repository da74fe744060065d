"""The ops at the begin of every job, and the preview between steps."""

from pathlib import Path
from typing import Any

from dagster import Config, MetadataValue, OpExecutionContext, op
from pydantic import Field

from moderate.flows.data_services.metadata import preview_metadata
from moderate.flows.data_services.resources import (
    NamedS3Resource,
    ScratchResource,
)
from moderate.flows.data_services.running import TableHandle, one_line

Separator = Field(
    None, description="between the fields of a CSV file; found out if unset"
)


class LocalInput(Config):
    """A local file to read."""

    input_path: str = Field(description="a CSV or Parquet file")
    separator: str | None = Separator


class S3Input(Config):
    """An object to read."""

    bucket_name: str = Field(description="bucket")
    file_key: str = Field(description="key of a CSV or Parquet object")
    separator: str | None = Separator


class PreviewConfig(Config):
    """What a preview shows."""

    rows: int = Field(5, ge=0, description="how many; 100 at the most")
    mask: bool = Field(
        default=True, description="show letters as x and digits as 9"
    )
    show_columns: list[str] = Field([], description="never masked")


@op
def read_csv_to_df(
    context: OpExecutionContext, config: LocalInput
) -> TableHandle:
    """Look at a local file; its rows are read as they are needed."""
    from moderate.dataservices.tables import open_table  # noqa: PLC0415

    with one_line():
        table = open_table(Path(config.input_path), separator=config.separator)
        context.add_output_metadata(_about(table))
        return table


@op
def read_csv_from_minio(
    context: OpExecutionContext,
    config: S3Input,
    s3: NamedS3Resource,
    scratch: ScratchResource,
) -> TableHandle:
    """Download an object into the run's scratch folder."""
    from moderate.dataservices.tables import open_table  # noqa: PLC0415

    with one_line():
        path = scratch.folder / "input"
        s3.client().download(config.bucket_name, config.file_key, path)
        source = f"s3://{config.bucket_name}/{config.file_key}"
        table = open_table(path, separator=config.separator, source=source)
        context.add_output_metadata(_about(table))
        return table


@op
def preview_dataframe(
    context: OpExecutionContext, config: PreviewConfig, table: TableHandle
) -> TableHandle:
    """Show the first rows, masked, and hand the table on."""
    from moderate.dataservices.previews import preview  # noqa: PLC0415

    with one_line():
        shown = preview(
            table, config.rows, mask=config.mask, shown=config.show_columns
        )
        context.add_output_metadata(preview_metadata(shown))
    return table


def _about(table: TableHandle) -> dict[str, Any]:
    return {
        "source": MetadataValue.text(table.source),
        "format": table.format.value,
        "columns": len(table.columns),
        "bytes": table.path.stat().st_size,
    }
