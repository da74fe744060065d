"""Reads the variable and the times from a text table, row by row."""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from typing import IO

from moderate.workloads.matrix_profile.csv_layout import Layout, find_layout
from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.notes import Note, count
from moderate.workloads.matrix_profile.table import Table, too_many_rows
from moderate.workloads.matrix_profile.times import Times, parse_times
from moderate.workloads.matrix_profile.values import parse_values

# What is read to learn the layout, and the longest line that is believed.
SAMPLE_BYTES = 1024 * 1024
LONGEST_LINE = 1024 * 1024
# A longer cell is a quote that nobody closed.
LONGEST_CELL = 128 * 1024

_BINARY_KINDS = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed with gzip",
    b"%PDF": "a PDF document",
    b"SQLite": "a database",
    b"\x89HDF": "HDF5",
}
# A table may start like these too, so they only explain a failure.
_TEXT_KINDS = {b"<": "HTML or XML", b"{": "JSON", b"[": "JSON"}


def read(file: IO[bytes], variable: str, *, max_rows: int) -> Table:
    """Reads a text table.

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
    file.seek(0)
    sample = file.read(SAMPLE_BYTES)
    _refuse(sample, _BINARY_KINDS)
    encoding = _encoding(file, sample)
    try:
        layout = find_layout(_whole_lines(sample, encoding), variable)
    except InputError:
        _refuse(sample, _TEXT_KINDS)
        raise
    file.seek(0)
    text = io.TextIOWrapper(
        file, encoding=encoding, errors="replace", newline=""
    )
    try:
        columns = _Columns(layout, max_rows)
        columns.read(text)
    finally:
        text.detach()
    return columns.table(variable, encoding)


class _Columns:
    """Gathers the few columns that are wanted."""

    def __init__(self, layout: Layout, max_rows: int) -> None:
        self._layout = layout
        self._max_rows = max_rows
        self._times: list[str] = []
        self._values: list[str] = []
        self._broken = 0

    def read(self, text: io.TextIOWrapper) -> None:
        """Reads all rows below the header."""
        needed = max(self._layout.variable, *self._layout.time, 0)
        csv.field_size_limit(LONGEST_CELL)
        rows = csv.reader(_lines(text), delimiter=self._layout.delimiter)
        try:
            for _ in range(self._layout.header_row + 1):
                next(rows)
            for row in rows:
                if len(row) > needed:
                    self._add(row)
                elif row:
                    self._broken += 1
        except csv.Error as error:
            raise InputError(
                f"the table is broken near line {rows.line_num:,}: {error}"
            ) from error
        if not self._values:
            raise InputError("the table has no complete rows")

    def _add(self, row: list[str]) -> None:
        if len(self._values) >= self._max_rows:
            raise too_many_rows(self._max_rows)
        self._values.append(row[self._layout.variable])
        if self._layout.time:
            cells = [row[column].strip() for column in self._layout.time]
            self._times.append(" ".join(cells))

    def table(self, variable: str, encoding: str) -> Table:
        """Turns what was gathered into numbers and times."""
        layout = self._layout
        values, notes = parse_values(
            self._values, variable, delimiter=layout.delimiter
        )
        times: Times | None = None
        if layout.time:
            times = parse_times(self._times, epochs=layout.epochs)
        names = [layout.names[column] for column in layout.time]
        return Table(
            values,
            times,
            " and ".join(names),
            f"CSV, separator {_spoken(layout.delimiter)}, {encoding}",
            (*self._notes(encoding), *notes),
        )

    def _notes(self, encoding: str) -> Iterator[Note]:
        if self._broken:
            text = (
                f"{count(self._broken, 'row')} had too few cells and "
                "was left out."
            )
            yield Note(text, "warning")
        if encoding == "cp1252":
            yield Note("The text is not UTF-8; it was read as Windows-1252.")
        names = list(self._layout.names)
        if names.count(names[self._layout.variable]) > 1:
            text = (
                "Several columns have the variable's name; the first one was "
                "analysed."
            )
            yield Note(text, "warning")


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yields lines, none of them longer than we can afford."""
    while line := text.readline(LONGEST_LINE):
        yield line


def _refuse(sample: bytes, kinds: Mapping[bytes, str]) -> None:
    start = sample.removeprefix(codecs.BOM_UTF8).lstrip()
    for magic, kind in kinds.items():
        if start.startswith(magic):
            raise InputError(
                f"the file is not a CSV or Parquet table: it is {kind}"
            )
    if b"\0" in sample and _byte_order_mark(sample) is None:
        raise InputError(
            "the file is not a CSV or Parquet table: it is not text"
        )


def _byte_order_mark(sample: bytes) -> str | None:
    if sample.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return None


def _encoding(file: IO[bytes], sample: bytes) -> str:
    """Says how the whole file is encoded, after looking at all of it."""
    marked = _byte_order_mark(sample)
    if marked:
        return marked
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        while chunk := file.read(SAMPLE_BYTES):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _whole_lines(sample: bytes, encoding: str) -> str:
    text = sample.decode(encoding, errors="replace")
    if len(sample) < SAMPLE_BYTES:
        return text
    end = max(text.rfind("\n"), text.rfind("\r"))
    if end < 0:
        raise InputError(
            "the file is not a table: its first line is far too long"
        )
    return text[: end + 1]


def _spoken(delimiter: str) -> str:
    return {"\t": "tab", ",": "comma", ";": "semicolon"}.get(
        delimiter, delimiter
    )
