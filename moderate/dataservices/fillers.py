"""One way each of knowing a missing value."""

# ruff: noqa: ARG002  # each way takes of the arguments what it needs

import math
from collections import Counter, deque
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from moderate.dataservices.encoding import Mask, as_text
from moderate.dataservices.errors import DataError

MAX_DISTINCT = 2_000_000
"""Different values that a most frequent one is looked for among."""

Floats = npt.NDArray[np.float64]


def numbers(column: pa.Array) -> pl.Series:
    """Return a column as floating-point numbers; null: it is none."""
    texts = pl.Series(values=as_text(column), dtype=pl.String)
    found = texts.str.strip_chars().cast(pl.Float64, strict=False)
    return pl.select(pl.when(found.is_finite()).then(found)).to_series()


def _written(value: float, wanted: pa.DataType) -> pa.Scalar:
    """Return a number as a column's type holds it; whole ones are rounded."""
    if pa.types.is_string(wanted) or pa.types.is_large_string(wanted):
        return pa.scalar(f"{value:.15g}", wanted)
    if pa.types.is_integer(wanted):
        return pa.scalar(round(value), wanted)
    return pa.scalar(value, pa.float64()).cast(wanted)


class Filler:
    """Learns from all rows, then fills; batches come in order, twice."""

    def __init__(self, name: str, spill: Path) -> None:
        self.name = name
        self._spill = spill
        self._seen = 0

    def learn(self, column: pa.Array, times: pa.Array | None) -> None:
        """Look at some rows."""

    def ready(self) -> None:
        """All rows were seen."""

    def fill(self, column: pa.Array, times: pa.Array | None) -> pa.Array:
        """Return the column with its nulls filled where that can be."""
        raise NotImplementedError

    def close(self) -> None:
        """Delete what was spilled."""
        self._spill.unlink(missing_ok=True)

    def _numbers(self, column: pa.Array) -> pl.Series:
        """Return numbers.

        Raises:
            DataError: A value is none; names column and row.
        """
        found = numbers(column)
        if found.null_count() > column.null_count:
            present = np.array(column.is_valid().to_pylist())
            wrong = present & found.is_null().to_numpy()
            row = self._seen + int(np.argmax(wrong)) + 1
            msg = f"column {self.name!r}, row {row}: no number"
            raise DataError(msg)
        self._seen += len(column)
        return found


class Constant(Filler):
    """The same value everywhere."""

    def __init__(self, name: str, spill: Path, value: str) -> None:
        super().__init__(name, spill)
        self._value = value

    def fill(self, column: pa.Array, times: pa.Array | None) -> pa.Array:
        """Fill in the value.

        Raises:
            DataError: The column's type can't hold it.
        """
        try:
            value = pa.scalar(self._value).cast(column.type)
        except pa.ArrowInvalid:
            msg = f"column {self.name!r} is {column.type}: the value is not"
            raise DataError(msg) from None
        return column.fill_null(value)


class _Single(Filler):
    """One value for all, known once all rows were seen."""

    def __init__(self, name: str, spill: Path) -> None:
        super().__init__(name, spill)
        self._number: float | None = None

    def fill(self, column: pa.Array, times: pa.Array | None) -> pa.Array:
        """Fill in the number."""
        if self._number is None:
            return column
        return column.fill_null(_written(self._number, column.type))


class Mean(_Single):
    """The arithmetic mean, summed without loss (``math.fsum``)."""

    def __init__(self, name: str, spill: Path) -> None:
        super().__init__(name, spill)
        self._sums: list[float] = []
        self._count = 0

    def learn(self, column: pa.Array, times: pa.Array | None) -> None:
        """Add up."""
        found = self._numbers(column).drop_nulls()
        self._sums.append(math.fsum(found))
        self._count += len(found)

    def ready(self) -> None:
        """Divide."""
        if self._count:
            self._number = math.fsum(self._sums) / self._count


class _Spilling(Filler):
    """Writes some numbers of each row to a file."""

    _file: BinaryIO | None = None

    def _write(self, values: Floats) -> None:
        if self._file is None:
            self._file = self._spill.open("wb")
        self._file.write(np.ascontiguousarray(values).tobytes())

    def _read(self) -> Floats:
        if self._file is None:
            return np.zeros(0)
        self._file.close()
        return np.fromfile(self._spill, np.float64)

    def close(self) -> None:
        """Delete what was spilled."""
        if self._file:
            self._file.close()
        super().close()


class Median(_Single, _Spilling):
    """The median: of an even number the mean of the two in the middle."""

    def learn(self, column: pa.Array, times: pa.Array | None) -> None:
        """Spill the numbers."""
        self._write(self._numbers(column).drop_nulls().to_numpy())

    def ready(self) -> None:
        """Look for the middle."""
        found = self._read()
        if len(found):
            self._number = float(np.median(found, overwrite_input=True))


class Mode(Filler):
    """The most frequent value; of several the one that came first."""

    def __init__(self, name: str, spill: Path) -> None:
        super().__init__(name, spill)
        self._counts: Counter[object] = Counter()

    def learn(self, column: pa.Array, times: pa.Array | None) -> None:
        """Count.

        Raises:
            DataError: There are too many different values.
        """
        for each in column.drop_null().value_counts().to_pylist():
            self._counts[each["values"]] += each["counts"]
        if len(self._counts) > MAX_DISTINCT:
            msg = (
                f"column {self.name!r} has over {MAX_DISTINCT} different"
                " values: the most frequent one says nothing"
            )
            raise DataError(msg)

    def fill(self, column: pa.Array, times: pa.Array | None) -> pa.Array:
        """Fill in the most frequent value."""
        if not self._counts:
            return column
        ((value, _),) = self._counts.most_common(1)
        return column.fill_null(pa.scalar(value, column.type))


class Forward(Filler):
    """The last value before."""

    _last: pa.Scalar | None = None

    def fill(self, column: pa.Array, times: pa.Array | None) -> pa.Array:
        """Carry values on, also from the rows before these."""
        filled = pc.fill_null_forward(column)
        if self._last is not None:
            filled = filled.fill_null(self._last)
        if len(filled) and filled[-1].is_valid:
            self._last = filled[-1]
        return filled


class Backward(Filler):
    """The next value after."""

    def __init__(self, name: str, spill: Path) -> None:
        super().__init__(name, spill)
        self._firsts: deque[tuple[int, pa.Scalar]] = deque()
        self._batches = count()
        self._filling = count()

    def learn(self, column: pa.Array, times: pa.Array | None) -> None:
        """Remember the first value of each batch that has one."""
        number = next(self._batches)
        present = column.drop_null()
        if len(present):
            self._firsts.append((number, present[0]))

    def fill(self, column: pa.Array, times: pa.Array | None) -> pa.Array:
        """Fill from behind, also from the rows after these."""
        number = next(self._filling)
        while self._firsts and self._firsts[0][0] <= number:
            self._firsts.popleft()
        filled = pc.fill_null_backward(column)
        if self._firsts:
            filled = filled.fill_null(self._firsts[0][1])
        return filled


class Interpolate(_Spilling):
    """On the straight line, in time, between the values before and after.

    Of several values at one time the last one in the file counts.
    """

    def __init__(self, name: str, spill: Path, time_column: str) -> None:
        super().__init__(name, spill)
        self._time_column = time_column
        self._seen_times = 0
        self._times: Floats = np.zeros(0)
        self._values: Floats = np.zeros(0)

    def learn(self, column: pa.Array, times: pa.Array | None) -> None:
        """Spill time and value of the rows that have both."""
        found = self._numbers(column).to_numpy()
        pairs = np.stack([self._seconds(times), found], axis=1)
        self._write(pairs[~np.isnan(pairs).any(axis=1)])

    def ready(self) -> None:
        """Bring what is known in the order of time."""
        self._seen_times = 0
        pairs = self._read().reshape(-1, 2)
        self._times = pairs[:, 0]
        self._values = pairs[:, 1]
        if (np.diff(self._times) < 0).any():
            order = np.argsort(self._times, kind="stable")
            self._times = self._times[order]
            self._values = self._values[order]
        if len(self._times):
            is_last: Mask = np.append(np.diff(self._times) > 0, [True])
            self._times = self._times[is_last]
            self._values = self._values[is_last]

    def fill(self, column: pa.Array, times: pa.Array | None) -> pa.Array:
        """Interpolate; what lies outside of all known times stays null."""
        seconds = self._seconds(times)
        if not column.null_count or not len(self._times):
            return column
        missing = np.array(column.is_null().to_pylist())
        between = np.full(len(column), np.nan)
        between[missing] = np.interp(
            seconds[missing], self._times, self._values, np.nan, np.nan
        )
        made = [
            None if math.isnan(v) else _written(v, column.type).as_py()
            for v in between.tolist()
        ]
        return pc.coalesce(column, pa.array(made, column.type))

    def _seconds(self, times: pa.Array | None) -> Floats:
        """Return times in seconds; not a number where there is none.

        Raises:
            DataError: A value is no time; names column and row.
        """
        assert times is not None  # noqa: S101  # the column was resolved
        found = np.full(len(times), np.nan)
        texts = as_text(times).to_pylist()
        for i, text in enumerate(texts):
            if text is None:
                continue
            try:
                found[i] = _time(text)
            except ValueError:
                row = self._seen_times + i + 1
                msg = f"column {self._time_column!r}, row {row}: no time"
                raise DataError(msg) from None
        self._seen_times += len(texts)
        return found


def _time(text: str) -> float:
    """Return a time in seconds, of ISO 8601 (UTC if unsaid) or a number."""
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text.strip())
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return zoned.timestamp()
