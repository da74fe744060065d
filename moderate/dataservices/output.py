"""Writing a table, piece by piece."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from moderate.dataservices.tables import Format, Table

FORMULA = re.compile(r"^\s*[=+\-@\t\r]")
"""What spreadsheets take for a formula (OWASP, CSV injection)."""

_PLAIN_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


class Writer:
    """Writes batches of one schema to a CSV or Parquet file.

    One batch is written in a thread while the next is made.
    """

    def __init__(
        self, file: BinaryIO, table: Table, schema: pa.Schema
    ) -> None:
        self._file = file
        self._dialect = table.dialect
        self._schema = schema
        self._thread = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None
        self._parquet = (
            pq.ParquetWriter(file, schema)
            if table.format is Format.PARQUET
            else None
        )
        if self._parquet is None:
            self._csv(pl.DataFrame({n: [] for n in schema.names}), header=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._thread:
            if kind is None:
                self._await()
        if self._parquet:
            self._parquet.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Write some rows; what goes wrong is raised by the next call.

        Args:
            batch: Columns in the schema's order; cast to its types.
        """
        self._await()
        self._written = self._thread.submit(self._write, batch)

    def _await(self) -> None:
        if self._written:
            self._written.result()

    def _write(self, batch: pa.RecordBatch) -> None:
        if self._parquet:
            self._parquet.write_batch(batch.cast(self._schema))
        elif batch.num_rows:
            self._csv(frame(batch), header=False)

    def _csv(self, rows: pl.DataFrame, *, header: bool) -> None:
        rows.write_csv(
            self._file,
            include_header=header,
            separator=self._dialect.separator,
            line_terminator=self._dialect.newline,
        )


def frame(batch: pa.RecordBatch) -> pl.DataFrame:
    """Return a batch as a polars frame, without a copy where that can be."""
    made = pl.from_arrow(batch)
    assert isinstance(made, pl.DataFrame)  # noqa: S101  # a batch, no array
    return made


@contextmanager
def writing(path: Path, table: Table, schema: pa.Schema) -> Iterator[Writer]:
    """Write a table like ``table`` to ``path``; nothing is left on failure.

    Args:
        path: A file of our own scratch folder.
        table: Says format and dialect.
        schema: Columns with types.
    """
    try:
        with path.open("wb") as file, Writer(file, table, schema) as writer:
            yield writer
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def replace_columns(
    batch: pa.RecordBatch, columns: dict[str, Any]
) -> pa.RecordBatch:
    """Return the batch with some columns replaced, in their places."""
    names = batch.schema.names
    arrays = [columns.get(n, batch.column(i)) for i, n in enumerate(names)]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _escaped(name: str) -> pl.Expr:
    text = pl.col(name)
    runs = text.str.contains(FORMULA.pattern)
    is_number = text.str.contains(_PLAIN_NUMBER)
    quoted = (pl.lit("'") + text).alias(name)
    return pl.when(runs & ~is_number).then(quoted).otherwise(text)


def without_formulas(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Put a ``'`` before each text that a spreadsheet would run.

    A plain number such as ``-3`` is none.
    """
    rows = frame(batch)
    rows = rows.with_columns(
        _escaped(name)
        for name, kind in rows.schema.items()
        if kind.is_(pl.String)
    )
    made = rows.to_arrow().combine_chunks().to_batches()
    return made[0] if made else batch


def export(
    table: Table, path: Path, wanted: Format, *, escape_formulas: bool
) -> Path:
    """Return a file with the table as it is to be handed out.

    Args:
        table: What to write.
        path: Where to, if the table's own file will not do.
        wanted: CSV or Parquet.
        escape_formulas: See ``without_formulas``; of CSV only.
    """
    escape = escape_formulas and wanted is Format.CSV
    if wanted is table.format and not escape:
        return table.path
    target = Table(path, wanted, table.columns, table.dialect)
    with writing(path, target, table.schema()) as writer:
        for batch in table.batches():
            writer.write(without_formulas(batch) if escape else batch)
    return path
