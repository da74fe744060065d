"""Reads the variable and the times from a Parquet file, batch by batch."""

from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet

from moderate.workloads.matrix_profile.csv_layout import (
    TIME_COLUMNS,
    TIME_NAME,
    TIME_SHARE,
)
from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.notes import Note
from moderate.workloads.matrix_profile.table import (
    Table,
    too_many_rows,
    unknown_variable,
)
from moderate.workloads.matrix_profile.times import (
    NOT_A_TIME,
    Times,
    parse_times,
)
from moderate.workloads.matrix_profile.values import parse_values

BATCH_ROWS = 65_536
# How many rows of a column of text are tried for times.
SAMPLE_ROWS = 200


def read(file: IO[bytes], variable: str, *, max_rows: int) -> Table:
    """Reads a Parquet file.

    Args:
        file: The file, open for reading in binary, seekable.
        variable: Name of the column to analyse.
        max_rows: More rows than this are refused.

    Returns:
        The variable and the times.

    Raises:
        InputError: See :func:`moderate.workloads.matrix_profile.reader.
            read_table`.
    """
    try:
        return _read(parquet.ParquetFile(file), variable, max_rows)
    except (pa.ArrowException, OSError) as error:
        raise InputError("the Parquet file is damaged or encrypted") from error


def _read(source: parquet.ParquetFile, variable: str, max_rows: int) -> Table:
    schema = source.schema_arrow
    if variable not in schema.names:
        raise unknown_variable(variable, schema.names)
    if schema.names.count(variable) > 1:
        raise InputError("several columns have the variable's name")
    if source.metadata.num_rows > max_rows:
        raise too_many_rows(max_rows)
    if not source.metadata.num_rows:
        raise InputError("the table has no rows")
    _refuse_type(variable, schema.field(variable).type)
    time = _time_column(source, variable)
    wanted = [variable] if time is None else [time, variable]
    batches = source.iter_batches(BATCH_ROWS, columns=wanted)
    table = pa.Table.from_batches(list(batches))
    values, notes = _values(table[variable], variable)
    times = None if time is None else _times(table[time], named=_named(time))
    return Table(values, times, time or "", "Parquet", notes)


def _refuse_type(name: str, kind: pa.DataType) -> None:
    if pa.types.is_temporal(kind):
        raise InputError(f"the column “{name}” holds times, not values")
    if not (_is_number(kind) or _is_text(kind)):
        raise InputError(f"the column “{name}” does not hold numbers: {kind}")


def _time_column(source: parquet.ParquetFile, variable: str) -> str | None:
    """Finds the column with the times: its type tells, else its content."""
    fields = [f for f in source.schema_arrow if f.name != variable]
    fields.sort(key=lambda f: not _named(f.name))
    for field in fields:
        if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
            return str(field.name)
    candidates = [
        f.name
        for f in fields
        if _is_text(f.type) or (_is_number(f.type) and _named(f.name))
    ]
    for name in candidates[:TIME_COLUMNS]:
        if _holds_times(source, name):
            return str(name)
    return None


def _holds_times(source: parquet.ParquetFile, name: str) -> bool:
    batch = next(source.iter_batches(SAMPLE_ROWS, columns=[name]))
    column = pa.chunked_array([batch.column(0)]).drop_null()
    readable = _times(column, named=_named(name)).readable
    return bool(readable.size and readable.mean() >= TIME_SHARE)


def _times(column: pa.ChunkedArray, *, named: bool) -> Times:
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        zone = getattr(kind, "tz", None)
        micros = column.cast(pa.timestamp("us", zone), safe=False)
        numbers = micros.cast(pa.int64()).fill_null(NOT_A_TIME)
        return _zoned(numbers.to_numpy(), zone)
    return parse_times(_texts(column), epochs=named)


def _zoned(micros: NDArray[np.int64], zone: str | None) -> Times:
    if zone is None or zone.upper() in ("UTC", "+00:00"):
        return Times(micros, 0, "UTC" if zone else "")
    text = f"The table's clock is {zone}; its times are shown in UTC."
    return Times(micros, 0, "UTC", (Note(text),))


def _values(
    column: pa.ChunkedArray, name: str
) -> tuple[NDArray[np.float64], tuple[Note, ...]]:
    if _is_text(column.type):
        return parse_values(_texts(column), name)
    numbers = pc.cast(column, pa.float64(), safe=False)
    values = np.array(numbers.to_numpy(), dtype=np.float64)
    values[np.isinf(values)] = np.nan
    if not np.isfinite(values).any():
        raise InputError(f"the column “{name}” holds no numbers")
    return values, ()


def _texts(column: pa.ChunkedArray) -> Sequence[str]:
    texts: list[Any] = column.cast(pa.string(), safe=False).to_pylist()
    return ["" if text is None else text for text in texts]


def _named(name: str) -> bool:
    return TIME_NAME.search(name) is not None


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
