"""Filling missing values, column by column, in files of any size.

The rows are read twice: once to learn what to fill in, and once to fill. What
has to be kept of each row for a median or an interpolation is spilled to a
file and read back one column at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from moderate.dataservices.columns import resolve
from moderate.dataservices.errors import DataError
from moderate.dataservices.fillers import (
    Backward,
    Constant,
    Filler,
    Forward,
    Interpolate,
    Mean,
    Median,
    Mode,
    numbers,
)
from moderate.dataservices.output import replace_columns, writing
from moderate.dataservices.tables import Table


class Method(StrEnum):
    """Where a missing value comes from."""

    CONSTANT = "constant"
    MEAN = "mean"
    MEDIAN = "median"
    MODE = "mode"
    FORWARD = "forward"
    BACKWARD = "backward"
    TIME = "time"


class ColumnFill(BaseModel):
    """How one column is filled.

    Attributes:
        method: See ``Method``.
        value: For ``constant``.
        time_column: For ``time``: between which times to interpolate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method
    value: str | int | float | bool | None = None
    time_column: str | None = None


@dataclass(frozen=True)
class FillReport:
    """How many values were filled, and how many could not be, by column."""

    rows: int
    filled: Mapping[str, int]
    left: Mapping[str, int]
    methods: Mapping[str, str]


_PLAIN: Mapping[Method, type[Filler]] = MappingProxyType(
    {
        Method.MEAN: Mean,
        Method.MEDIAN: Median,
        Method.MODE: Mode,
        Method.FORWARD: Forward,
        Method.BACKWARD: Backward,
    }
)


def parse(columns: Mapping[str, Any]) -> dict[str, ColumnFill]:
    """Return what a configuration says of each column.

    Raises:
        DataError: One line: which column, and what is wrong.
    """
    found = {}
    for name, given in columns.items():
        options = {"method": given} if isinstance(given, str) else given
        try:
            fill = ColumnFill.model_validate(options)
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, detail["loc"]))
            msg = f"column {name!r}: {place}: {detail['msg']}"
            raise DataError(msg) from None
        if fill.method is Method.CONSTANT and fill.value is None:
            msg = f"column {name!r}: constant needs a value"
            raise DataError(msg)
        if fill.method is Method.TIME and fill.time_column is None:
            msg = f"column {name!r}: time needs a time_column"
            raise DataError(msg)
        found[name] = fill
    return found


@dataclass
class _Job:
    """One column on its way."""

    name: str
    fill: ColumnFill
    filler: Filler
    time_column: str | None
    missing: int = 0
    left: int = 0

    def times(self, batch: pa.RecordBatch) -> pa.Array | None:
        return self.time_column and batch.column(self.time_column)


def fill_missing(
    table: Table,
    columns: Mapping[str, ColumnFill],
    path: Path,
    *,
    ignore_case: bool = False,
) -> tuple[Table, FillReport]:
    """Write the table with missing values filled.

    A value that no method can know (before the first, or in a column without
    any) stays missing and is counted.

    Args:
        table: The input.
        columns: How each is filled. If there are none, every column with
            missing values is: by its median if it holds numbers, else by its
            most frequent value.
        path: Where the output goes; its folder takes 16 bytes a row and
            column for medians and interpolations.
        ignore_case: Whether a column's name may differ by case.

    Raises:
        DataError: A column does not exist, or a value is not what the method
            needs; names column and row.
    """
    chosen = dict(columns) or _automatic(table)
    jobs = list(_jobs(table, chosen, path, ignore_case=ignore_case))
    rows = 0
    try:
        for batch in table.batches(_read(jobs)) if jobs else ():
            for job in jobs:
                job.filler.learn(batch.column(job.name), job.times(batch))
        for job in jobs:
            job.filler.ready()
        with writing(path, table, table.schema()) as writer:
            for batch in table.batches():
                writer.write(_filled(batch, jobs))
                rows += batch.num_rows
    finally:
        for job in jobs:
            job.filler.close()
    report = FillReport(
        rows,
        {job.name: job.missing - job.left for job in jobs},
        {job.name: job.left for job in jobs},
        {job.name: job.fill.method.value for job in jobs},
    )
    return table.at(path), report


def _automatic(table: Table) -> dict[str, ColumnFill]:
    """Look which columns miss values, and what kind they are."""
    missing = dict.fromkeys(table.columns, 0)
    is_number = dict.fromkeys(table.columns, True)
    for batch in table.batches():
        for name in table.columns:
            column = batch.column(name)
            missing[name] += column.null_count
            if is_number[name]:
                found = numbers(column)
                is_number[name] = found.null_count() == column.null_count
    return {
        name: ColumnFill(
            method=Method.MEDIAN if is_number[name] else Method.MODE
        )
        for name, count in missing.items()
        if count
    }


def _jobs(
    table: Table,
    chosen: Mapping[str, ColumnFill],
    path: Path,
    *,
    ignore_case: bool,
) -> Iterator[_Job]:
    names = resolve(list(chosen), table.columns, ignore_case=ignore_case)
    for number, (name, fill) in enumerate(
        zip(names, chosen.values(), strict=True)
    ):
        spill = path.with_name(f"{path.name}.{number}.spill")
        time = None
        if fill.time_column is not None:
            (time,) = resolve(
                [fill.time_column], table.columns, ignore_case=ignore_case
            )
        yield _Job(name, fill, _filler(name, fill, spill, time), time)


def _filler(
    name: str, fill: ColumnFill, spill: Path, time: str | None
) -> Filler:
    if fill.method is Method.CONSTANT:
        return Constant(name, spill, str(fill.value))
    if fill.method is Method.TIME:
        return Interpolate(name, spill, str(time))
    return _PLAIN[fill.method](name, spill)


def _read(jobs: Sequence[_Job]) -> list[str]:
    names = [job.name for job in jobs]
    times = [job.time_column for job in jobs if job.time_column]
    return list(dict.fromkeys(names + times))


def _filled(batch: pa.RecordBatch, jobs: Sequence[_Job]) -> pa.RecordBatch:
    columns = {}
    for job in jobs:
        column = batch.column(job.name)
        made = job.filler.fill(column, job.times(batch))
        columns[job.name] = made.cast(column.type)
        job.missing += column.null_count
        job.left += made.null_count
    return replace_columns(batch, columns)
