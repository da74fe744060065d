"""The conversion itself."""

import csv as text_csv
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from moderate.workloads.csv_conversion.blocks import BLOCK_BYTES, CsvSource
from moderate.workloads.csv_conversion.columns import ColumnTypes
from moderate.workloads.csv_conversion.errors import CsvError
from moderate.workloads.csv_conversion.reading import Facts, Reading

ROW_GROUP_BYTES = 64 * 1024 * 1024
"""Bytes in memory that become one row group of the Parquet file."""

PREVIEW_ROWS = 5
PREVIEW_COLUMNS = 8

_COUNTED_BYTES = 1024 * 1024


def convert(
    source: Path,
    to_parquet: Path,
    to_csv: Path,
    reading: Reading,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> Facts:
    """Write ``source`` as Parquet and as normalised CSV.

    The Parquet file is compressed with zstd and has statistics. The CSV file
    is UTF-8 with commas, decimal points, ISO 8601 times and line feeds. The
    same source gives the same bytes again.

    Args:
        source: The CSV file.
        to_parquet: Where to; overwritten.
        to_csv: Where to; overwritten.
        reading: How the source is written.
        block_bytes: Bytes that are looked at together.

    Raises:
        CsvError: The source is at fault; says where.
        OSError: A file can't be read or written.
    """
    table = CsvSource(source, reading, block_bytes)
    types = ColumnTypes(table.header, reading)
    rows = sum(types.fit(block).num_rows for block in table.blocks())
    if rows == 0:
        msg = "there is a header but no row"
        raise CsvError(msg, line=table.header.line)
    while True:
        try:
            written = _write(table, types, to_parquet, to_csv)
            break
        except _WidenedError:
            continue  # the types have widened: once more from the begin
    return Facts(
        rows=rows,
        parquet_rows=parquet.read_metadata(to_parquet).num_rows,
        csv_rows=_line_feeds(to_csv) - written.line_feeds - 1,
        columns={field.name: str(field.type) for field in types.schema},
        parquet_columns=parquet.read_schema(to_parquet).names,
        csv_columns=_header(to_csv),
        preview=written.preview,
    )


class _WidenedError(Exception):
    """A block does not fit the types that its file was found to have."""


class _Output:
    """Both files; the CSV file is written in a thread of its own."""

    def __init__(
        self, schema: pa.Schema, to_parquet: Path, to_csv: Path
    ) -> None:
        self.line_feeds = 0
        self.preview: Sequence[dict[str, Any]] = ()
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self._csv_end: Future[None] | None = None
        with ExitStack() as opened:
            self._parquet = opened.enter_context(
                parquet.ParquetWriter(
                    to_parquet,
                    schema,
                    compression="zstd",
                    # Numbers hardly repeat; a dictionary costs time there.
                    use_dictionary=_texts(schema) or False,
                    write_statistics=True,
                )
            )
            self._csv = opened.enter_context(
                csv.CSVWriter(
                    to_csv,
                    schema,
                    write_options=csv.WriteOptions(quoting_style="needed"),
                )
            )
            self._thread = opened.enter_context(ThreadPoolExecutor(1))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._opened:
            if kind is None:
                self._write_row_group()
                self._await_csv()

    def write(self, table: pa.Table) -> None:
        """Add rows to both files."""
        if not self.preview:
            self.preview = _preview(table)
        self._await_csv()
        self._csv_end = self._thread.submit(self._csv.write_table, table)
        self.line_feeds += _line_feeds_in_values(table)
        self._waiting.append(table)
        self._waiting_bytes += table.nbytes
        if self._waiting_bytes >= ROW_GROUP_BYTES:
            self._write_row_group()

    def _await_csv(self) -> None:
        if self._csv_end:
            self._csv_end.result()
            self._csv_end = None

    def _write_row_group(self) -> None:
        if self._waiting:
            group = pa.concat_tables(self._waiting)
            self._waiting, self._waiting_bytes = [], 0
            self._parquet.write_table(group, row_group_size=group.num_rows)


def _write(
    source: CsvSource, types: ColumnTypes, to_parquet: Path, to_csv: Path
) -> _Output:
    before = types.current
    with _Output(types.schema, to_parquet, to_csv) as output:
        for block in source.blocks():
            try:
                table = types.read(block)
            except pa.ArrowInvalid as error:
                types.fit(block)
                if types.current == before:
                    raise CsvError(str(error), line=block.line) from error
                raise _WidenedError from error
            output.write(table)
    return output


def _texts(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_string(field.type)]


def _preview(table: pa.Table) -> Sequence[dict[str, Any]]:
    part = table.slice(0, PREVIEW_ROWS)
    part = part.select(range(min(PREVIEW_COLUMNS, part.num_columns)))
    return [
        {
            name: "" if value is None else str(value)
            for name, value in r.items()
        }
        for r in part.to_pylist()
    ]


def _line_feeds_in_values(table: pa.Table) -> int:
    counts = (
        pc.sum(pc.count_substring(column, "\n")).as_py() or 0
        for column in table.columns
        if pa.types.is_string(column.type)
    )
    return sum(counts)


def _line_feeds(path: Path) -> int:
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in _pieces(file))


def _pieces(file: Any) -> Iterator[bytes]:
    while piece := file.read(_COUNTED_BYTES):
        yield piece


def _header(path: Path) -> Sequence[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return next(text_csv.reader(file))
