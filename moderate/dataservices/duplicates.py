"""Removing duplicate rows from files of any size.

Each row's key is reduced to 128 bits. These, with the rows' numbers, are
spilled to files by their first bits, so that rows that may be equal meet in
one small file; only a bit for each row stays in memory.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from moderate.dataservices.columns import resolve
from moderate.dataservices.encoding import Mask
from moderate.dataservices.errors import DataError
from moderate.dataservices.output import frame, writing
from moderate.dataservices.tables import Table

PARTITIONS = 64
_SHIFT = np.uint64(58)  # 64 - log2(PARTITIONS)
_RECORD = np.dtype([("low", "u8"), ("high", "u8"), ("row", "u8")])
_Records = npt.NDArray[np.void]


class Keep(StrEnum):
    """Which of some equal rows stays."""

    FIRST = "first"
    LAST = "last"
    NONE = "none"


@dataclass(frozen=True)
class DuplicateRequest:
    """What counts as equal, and what stays.

    Attributes:
        columns: Those that are compared; all if empty.
        keep: See ``Keep``.
        ignore_case: Compare without case. Values stay as they are.
        ignore_blanks: Compare without blanks around a value, and with one
            for several inside it.
        ignore_column_case: Whether a column's name may differ by case.
    """

    columns: tuple[str, ...] = ()
    keep: Keep = Keep.FIRST
    ignore_case: bool = False
    ignore_blanks: bool = False
    ignore_column_case: bool = False


@dataclass(frozen=True)
class DuplicateReport:
    """How many rows came and went."""

    rows: int
    removed: int


def remove_duplicates(
    table: Table, request: DuplicateRequest, path: Path
) -> tuple[Table, DuplicateReport]:
    """Write the table without duplicate rows, in the same order.

    Args:
        table: The input.
        request: What counts as equal.
        path: Where the output goes; its folder takes 24 bytes a row.

    Raises:
        DataError: A column does not exist, or the file is broken.
    """
    columns = resolve(
        request.columns or table.columns,
        table.columns,
        ignore_case=request.ignore_column_case,
    )
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        rows = _spill(table, columns, request, Path(folder))
        stays = np.ones(rows, dtype=np.bool_)
        for file in sorted(Path(folder).iterdir()):
            stays[_losers(np.fromfile(file, _RECORD), request.keep)] = False
    start = 0
    with writing(path, table, table.schema()) as writer:
        for batch in table.batches():
            mask = stays[start : start + batch.num_rows]
            start += batch.num_rows
            writer.write(batch.filter(pa.array(mask)))
    return table.at(path), DuplicateReport(rows, rows - int(stays.sum()))


def _spill(
    table: Table,
    columns: tuple[str, ...],
    request: DuplicateRequest,
    folder: Path,
) -> int:
    """Write each row's key to its partition; return how many there are."""
    with ExitStack() as stack:
        files: list[BinaryIO] = [
            stack.enter_context((folder / f"{i:02}").open("wb"))
            for i in range(PARTITIONS)
        ]
        rows = 0
        for batch in table.batches(columns):
            records = _records(frame(batch).select(columns), request, rows)
            rows += len(records)
            for number, part in _parts(records):
                files[number].write(part.tobytes())
    return rows


def _records(
    rows: pl.DataFrame, request: DuplicateRequest, start: int
) -> _Records:
    normal = _normalised(rows, request)
    records = np.empty(len(rows), _RECORD)
    records["low"] = normal.hash_rows(*_seeds(b"low")).to_numpy()
    records["high"] = normal.hash_rows(*_seeds(b"high")).to_numpy()
    records["row"] = np.arange(start, start + len(rows))
    return records


def _seeds(name: bytes) -> tuple[int, int, int, int]:
    """Return four seeds that have nothing to do with another name's."""
    raw = blake2b(name, digest_size=32).digest()
    a, b, c, d = np.frombuffer(raw, "<u8").tolist()
    return a, b, c, d


def _normalised(rows: pl.DataFrame, request: DuplicateRequest) -> pl.DataFrame:
    """Return the rows as they are compared.

    Raises:
        DataError: A column can't be compared.
    """
    if nested := [n for n, t in rows.schema.items() if t.is_nested()]:
        msg = f"column {nested[0]!r} holds lists or records: name others"
        raise DataError(msg)
    text = pl.selectors.string()
    if request.ignore_case:
        rows = rows.with_columns(text.str.to_lowercase())
    if request.ignore_blanks:
        single = text.str.replace_all(r"\s+", " ").str.strip_chars()
        rows = rows.with_columns(single)
    return rows


def _parts(records: _Records) -> Iterator[tuple[int, _Records]]:
    place = (records["low"] >> _SHIFT).astype(np.int64)
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(PARTITIONS + 1))
    for number in range(PARTITIONS):
        yield number, records[order[ends[number] : ends[number + 1]]]


def _losers(records: _Records, keep: Keep) -> npt.NDArray[np.int64]:
    """Return the numbers of the rows that must go."""
    # Rows are in order, and the sort is stable: so they are in each key.
    order = np.lexsort((records["high"], records["low"]))
    low, high = records["low"][order], records["high"][order]
    same: Mask = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
    no = np.zeros(1, dtype=np.bool_)
    has_before = np.concatenate([no, same])[: len(order)]
    has_after = np.concatenate([same, no])[: len(order)]
    gone = {
        Keep.FIRST: has_before,
        Keep.LAST: has_after,
        Keep.NONE: has_before | has_after,
    }[keep]
    rows: npt.NDArray[np.int64] = records["row"][order[gone]].astype(np.int64)
    return rows
