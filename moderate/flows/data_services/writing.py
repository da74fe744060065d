"""The ops at the end of every job: the output appears whole, or not at all."""

import os
import shutil
from pathlib import Path

from dagster import Config, MetadataValue, OpExecutionContext, op
from pydantic import Field

from moderate.errors import PermanentError
from moderate.flows.data_services.leftovers import part_of, remove_leftovers
from moderate.flows.data_services.resources import (
    NamedS3Resource,
    ScratchResource,
)
from moderate.flows.data_services.running import TableHandle, one_line

CONTENT_TYPES = {"csv": "text/csv", "parquet": "application/octet-stream"}


class Output(Config):
    """How the output is written."""

    escape_formulas: bool = Field(
        default=False,
        description="put ' before CSV cells that a spreadsheet would run",
    )
    overwrite_input: bool = Field(
        default=False, description="allow the output to take the input's place"
    )


class LocalOutput(Output):
    """A local file to write."""

    output_path: str = Field(description="Parquet if it ends so, else CSV")


class S3Output(Output):
    """An object to write."""

    bucket_name: str = Field(description="bucket")
    file_key: str = Field(description="Parquet if it ends so, else CSV")


@op
def write_df_to_csv(
    context: OpExecutionContext,
    config: LocalOutput,
    scratch: ScratchResource,
    table: TableHandle,
) -> None:
    """Write the table beside its final place, then rename it."""
    with one_line():
        target = Path(config.output_path).absolute()
        _refuse_overwriting(table, str(target.resolve()), config)
        file = _exported(table, config, target.name, scratch)
        hidden = f".{target.name}"
        part = target.with_name(part_of(hidden, context.run_id))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy_to_disk(file, part)
            part.replace(target)
        except OSError as error:
            msg = f"{target} can't be written: {error.strerror}"
            raise PermanentError(msg) from None
        finally:
            part.unlink(missing_ok=True)
        _say(context, str(target), file)
        remove_leftovers(
            context,
            hidden,
            lambda: [p.name for p in target.parent.glob(".*.part")],
            lambda name: target.with_name(name).unlink(missing_ok=True),
        )


@op
def write_csv_to_minio(
    context: OpExecutionContext,
    config: S3Output,
    s3: NamedS3Resource,
    scratch: ScratchResource,
    table: TableHandle,
) -> None:
    """Upload the table under a temporary key, then copy it to the final."""
    with one_line():
        target = f"s3://{config.bucket_name}/{config.file_key}"
        _refuse_overwriting(table, target, config)
        file = _exported(table, config, config.file_key, scratch)
        storage, bucket = s3.client(), config.bucket_name
        key = config.file_key
        part = part_of(key, context.run_id)
        try:
            storage.upload(bucket, part, file, _content_type(key))
            storage.copy(bucket, part, key)
        finally:
            storage.delete(bucket, part)
        _say(context, target, file)
        remove_leftovers(
            context,
            key,
            lambda: storage.keys(bucket, f"{key}."),
            lambda name: storage.discard(bucket, name),
        )


def _refuse_overwriting(
    table: TableHandle, target: str, config: Output
) -> None:
    if table.source == target and not config.overwrite_input:
        msg = f"{target} is the input: set overwrite_input to replace it"
        raise PermanentError(msg)


def _exported(
    table: TableHandle, config: Output, name: str, scratch: ScratchResource
) -> Path:
    from moderate.dataservices.output import export  # noqa: PLC0415
    from moderate.dataservices.tables import Format  # noqa: PLC0415

    wanted = Format.of_name(name)
    return export(
        table,
        scratch.folder / f"export.{wanted}",
        wanted,
        escape_formulas=config.escape_formulas,
    )


def _copy_to_disk(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, 1024 * 1024)
        write.flush()
        os.fsync(write.fileno())


def _content_type(name: str) -> str:
    from moderate.dataservices.tables import Format  # noqa: PLC0415

    return CONTENT_TYPES[Format.of_name(name).value]


def _say(context: OpExecutionContext, target: str, file: Path) -> None:
    context.add_output_metadata(
        {
            "written": MetadataValue.text(target),
            "bytes": file.stat().st_size,
        }
    )
