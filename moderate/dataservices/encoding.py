"""Columns as small integers: what the search works on.

A file's rows are read once; of each column that matters only the code of
each value stays in memory, 4 bytes a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from moderate.dataservices.tables import Table

Codes = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_KEY = 2**62
DENSE_KEYS = 2**22
"""Keys up to here are counted in an array instead of being sorted."""


@dataclass(frozen=True)
class Column:
    """One column: each row's code, and each code's value as text.

    Attributes:
        name: The column.
        codes: One a row, in order.
        values: Text by code, in order of first appearance; ``None``: null.
    """

    name: str
    codes: Codes
    values: tuple[str | None, ...]

    @property
    def is_null(self) -> Mask:
        """Say for each row whether it has no value."""
        if None not in self.values:
            return np.zeros(len(self.codes), dtype=np.bool_)
        missing: Mask = self.codes == self.values.index(None)
        return missing


def encode(table: Table, names: Sequence[str]) -> tuple[Column, ...]:
    """Return some columns of a table as codes.

    Raises:
        DataError: The file is broken.
    """
    dictionaries: list[dict[str | None, int]] = [{} for _ in names]
    parts: list[list[Codes]] = [[] for _ in names]
    for batch in table.batches(names):
        for name, known, codes in zip(names, dictionaries, parts, strict=True):
            codes.append(_codes(batch.column(name), known))
    nothing = np.zeros(0, dtype=np.int32)
    return tuple(
        Column(name, np.concatenate([nothing, *codes]), tuple(known))
        for name, known, codes in zip(names, dictionaries, parts, strict=True)
    )


def _codes(array: pa.Array, known: dict[str | None, int]) -> Codes:
    coded = as_text(array).dictionary_encode(null_encoding="encode")
    values = coded.dictionary.to_pylist()
    to_ours = np.array(
        [known.setdefault(value, len(known)) for value in values],
        dtype=np.int32,
    )
    indices = coded.indices.to_numpy(zero_copy_only=False)
    ours: Codes = to_ours[indices] if len(values) else to_ours
    return ours


def as_text(array: pa.Array) -> pa.Array:
    """Return any column as text, as it would stand in a CSV file."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.string())


def combine(
    codes: Sequence[npt.NDArray[np.integer]],
    sizes: Sequence[int],
    rows: int,
) -> tuple[Counts, int]:
    """Number the distinct combinations of several columns.

    Args:
        codes: One array a column.
        sizes: More than the greatest code of each.
        rows: How many rows there are, if there are no columns at all.

    Returns:
        Each row's combination, from 0 without gaps, and how many there are.
    """
    keys = np.zeros(rows, dtype=np.int64)
    span = 1
    for column, size in zip(codes, sizes, strict=True):
        if span * size > MAX_KEY:
            keys, span = _dense(keys, span)
        keys = keys * size + column
        span *= size
    return _dense(keys, span)


def _dense(keys: Counts, span: int) -> tuple[Counts, int]:
    if span <= DENSE_KEYS:
        used = np.bincount(keys, minlength=1) > 0
        numbers = np.cumsum(used) - 1
        return numbers[keys], int(used.sum()) if len(keys) else 0
    unique, inverse = np.unique(keys, return_inverse=True)
    return inverse.astype(np.int64), len(unique)
