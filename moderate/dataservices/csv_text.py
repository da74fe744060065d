"""CSV files: how one is written, and where one is broken.

Every value is text here: ``007`` stays ``007``. An empty field is null, a
quoted empty one is the empty text. The fast path is pyarrow's parser; when
that refuses a file, a slow pass finds the first faulty row for the message.
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from moderate.dataservices.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
BLOCK_BYTES = 4 * 1024 * 1024
"""Read at once; a row must fit."""

BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        separator: Between two fields.
        newline: At the end of a row.
    """

    separator: str = ","
    newline: str = "\n"


def look_at(
    path: Path, separator: str | None = None
) -> tuple[Dialect, tuple[str, ...]]:
    """Return how a CSV file is written, and the names in its header.

    Args:
        path: The file.
        separator: Between fields; found out from the header if ``None``.

    Raises:
        DataError: The file is empty, is not UTF-8, or two columns have one
            name.
    """
    with path.open("rb") as file:
        start = file.read(BLOCK_BYTES)
    if start.startswith(_UTF16):
        msg = "the file is UTF-16; save it as UTF-8"
        raise DataError(msg)
    start = start.removeprefix(BOM)
    if not start.strip():
        msg = "the file is empty"
        raise DataError(msg)
    line = start.split(b"\n", 1)[0]
    newline = "\r\n" if line.endswith(b"\r") else "\n"
    dialect = Dialect(separator or _separator(line), newline)
    return dialect, _header(path, dialect)


def _separator(line: bytes) -> str:
    """Return what occurs most often in the header, outside of quotes."""
    bare = "".join(line.decode("utf-8", "replace").split('"')[::2])
    return max(SEPARATORS, key=bare.count)


def _header(path: Path, dialect: Dialect) -> tuple[str, ...]:
    # What is not UTF-8 may be further down: that is another error.
    records = _records(path, dialect, errors="surrogateescape")
    names = tuple(next(records)[1])
    if any(map(_not_text, names)):
        msg = "the header is not UTF-8"
        raise DataError(msg)
    for before, name in pairwise(sorted(names)):
        if before == name:
            places = [i + 1 for i, n in enumerate(names) if n == name]
            msg = f"two columns are named {name!r}: {places[0]}, {places[1]}"
            raise DataError(msg)
    return names


def _not_text(value: str) -> bool:
    return any("\udc80" <= c <= "\udcff" for c in value)


def _records(
    path: Path, dialect: Dialect, errors: str = "strict"
) -> Iterator[tuple[int, list[str]]]:
    """Yield the last line's number and the fields of each record."""
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", errors=errors, newline="") as file:
        reader = csv.reader(file, delimiter=dialect.separator)
        for fields in reader:
            if fields:
                yield reader.line_num, fields


def batches(
    path: Path,
    dialect: Dialect,
    names: Sequence[str],
    columns: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield a file's rows, all columns as text.

    Args:
        path: The file.
        dialect: How it is written.
        names: All columns of the file.
        columns: Those that are wanted; all by default.

    Raises:
        DataError: A row is ragged, or a value is not UTF-8; names the row.
    """
    try:
        yield from _open(path, dialect, names, columns)
    except pa.ArrowInvalid as error:
        if not _has_rows(path, dialect):
            return
        msg = _diagnosis(path, dialect, names) or f"not a CSV file: {error}"
        raise DataError(msg.splitlines()[0]) from None


def _open(
    path: Path,
    dialect: Dialect,
    names: Sequence[str],
    columns: Sequence[str] | None,
) -> Any:
    # The names are ours: what stands before the header, and how its quotes
    # are understood, is not told in two ways.
    header_end, _ = next(_records(path, dialect, errors="surrogateescape"))
    return pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(
            block_size=BLOCK_BYTES,
            column_names=list(names),
            skip_rows=header_end,
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=dialect.separator,
            newlines_in_values=True,
            # An empty line is a row where there is one column: a null.
            ignore_empty_lines=len(names) > 1,
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=None if columns is None else list(columns),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _has_rows(path: Path, dialect: Dialect) -> bool:
    try:
        records = _records(path, dialect)
        next(records)
        return next(records, None) is not None
    except UnicodeDecodeError:
        return True


def _diagnosis(path: Path, dialect: Dialect, names: Sequence[str]) -> str:
    """Say what is wrong with the first faulty row; empty: nothing found."""
    records = _records(path, dialect)
    number = -1
    line = 0
    try:
        for number, (line, fields) in enumerate(records):
            if len(fields) != len(names):
                return (
                    f"row {number} (line {line}) has {len(fields)} fields,"
                    f" the header {len(names)}{_first_absent(fields, names)}"
                )
    except UnicodeDecodeError:
        return _not_utf8(path, dialect, names)
    except csv.Error as error:
        return f"row {number + 1} (after line {line}): {error}"
    return ""


def _first_absent(fields: Sequence[str], names: Sequence[str]) -> str:
    if len(fields) > len(names):
        return ""
    return f": column {names[len(fields)]!r} is missing"


def _not_utf8(path: Path, dialect: Dialect, names: Sequence[str]) -> str:
    records = _records(path, dialect, errors="surrogateescape")
    for number, (_, fields) in enumerate(records):
        for name, value in zip(names, fields, strict=False):
            if _not_text(value):
                return f"column {name!r}, row {number}: not UTF-8"
    return "not UTF-8"
