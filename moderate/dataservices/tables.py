"""A data set as a file, read in pieces."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from moderate.dataservices import csv_text
from moderate.dataservices.csv_text import Dialect
from moderate.dataservices.errors import DataError

PARQUET_MAGIC = b"PAR1"
PARQUET_ROWS = 64 * 1024
"""Read at once from a Parquet file."""


class Format(StrEnum):
    """What a file is."""

    CSV = "csv"
    PARQUET = "parquet"

    @classmethod
    def of_name(cls, name: str) -> Self:
        """Return what a file of this name is to be."""
        is_parquet = name.lower().endswith((".parquet", ".pq"))
        return cls("parquet" if is_parquet else "csv")


@dataclass(frozen=True)
class Table:
    """A file with a table; what ops hand to each other.

    Attributes:
        path: The file; never written to once this exists.
        format: What it is.
        columns: Names in order.
        dialect: How it is written if it is CSV.
        source: Where the first input came from (``s3://…`` or a path): that
            is not overwritten unless asked.
        safe: Columns that hold nothing personal any more, so that a preview
            may show them.
    """

    path: Path
    format: Format
    columns: tuple[str, ...]
    dialect: Dialect = field(default_factory=Dialect)
    source: str = ""
    safe: frozenset[str] = frozenset()

    def batches(
        self, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, in pieces that fit in memory.

        Args:
            columns: Those that are wanted; all by default.

        Raises:
            DataError: The file is broken; names row and column.
        """
        if self.format is Format.CSV:
            yield from csv_text.batches(
                self.path, self.dialect, self.columns, columns
            )
            return
        with _parquet(self.path) as file:
            wanted = None if columns is None else list(columns)
            yield from file.iter_batches(PARQUET_ROWS, columns=wanted)

    def schema(self) -> pa.Schema:
        """Return the columns with their types."""
        if self.format is Format.CSV:
            return pa.schema([(name, pa.string()) for name in self.columns])
        with _parquet(self.path) as file:
            return file.schema_arrow

    def at(self, path: Path, *, safe: Collection[str] = ()) -> "Table":
        """Return the same table as another file, with more safe columns."""
        return replace(self, path=path, safe=self.safe | frozenset(safe))


def open_table(
    path: Path, *, separator: str | None = None, source: str = ""
) -> Table:
    """Look at a file and return it as a table.

    Args:
        path: A CSV or Parquet file; its first bytes tell which.
        separator: Of a CSV file; found out if ``None``.
        source: Where it came from; its path by default.

    Raises:
        DataError: There is no such file, it is empty, or its header is wrong.
    """
    if not path.is_file():
        msg = f"there is no file {path}"
        raise DataError(msg)
    origin = source or str(path.resolve())
    with path.open("rb") as file:
        magic = file.read(len(PARQUET_MAGIC))
    if magic == PARQUET_MAGIC:
        with _parquet(path) as parquet:
            names = tuple(parquet.schema_arrow.names)
        _refuse_duplicates(names)
        return Table(path, Format.PARQUET, names, source=origin)
    dialect, names = csv_text.look_at(path, separator)
    return Table(path, Format.CSV, names, dialect, origin)


def _refuse_duplicates(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            msg = f"two columns are named {name!r}"
            raise DataError(msg)


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False)
    except pa.ArrowInvalid as error:
        msg = f"not a Parquet file: {str(error).splitlines()[0]}"
        raise DataError(msg) from None
