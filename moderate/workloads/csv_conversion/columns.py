"""The type of each column over all of a file's blocks.

A type is first what Arrow finds in a block; a block that does not fit widens
it. What would lose something stays text: a column of whole numbers some of
which have leading zeros (``007`` is a code), and whole numbers that neither
an integer nor, beside fractions, a float can hold.
"""

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from moderate.workloads.csv_conversion.blocks import Block, Header
from moderate.workloads.csv_conversion.errors import CsvError
from moderate.workloads.csv_conversion.locate import locate
from moderate.workloads.csv_conversion.reading import Reading

EXACT_FLOAT = 2.0**53
"""Below this a float holds every whole number."""

_CODE = r"^[+-]?0[0-9xX]"
_LONG_WHOLE = r"^[+-]?[0-9]{16,}$"
_TRUE = ["true", "True", "TRUE"]
_FALSE = ["false", "False", "FALSE"]
_TEXT = pa.string()

Types = tuple[pa.DataType, ...]


class ColumnTypes:
    """Types that are widened until every block fits.

    Args:
        header: The file's columns.
        reading: How the file is written.
    """

    def __init__(self, header: Header, reading: Reading) -> None:
        self.names = list(header.names)
        self._reading = reading
        self._types: Types = tuple(pa.null() for _ in self.names)
        # Whole numbers that would be lost in a float were seen here.
        self._long: set[int] = set()

    @property
    def current(self) -> Types:
        """The types by now."""
        return self._types

    @property
    def schema(self) -> pa.Schema:
        """The schema by now; a column without any value is text."""
        return pa.schema(
            [
                (name, _TEXT if pa.types.is_null(kind) else kind)
                for name, kind in zip(self.names, self._types, strict=True)
            ]
        )

    def fit(self, block: Block) -> pa.Table:
        """Read a block, after widening types where it asks for it.

        Raises:
            CsvError: The block's rows are not all as wide as the header.
        """
        try:
            table = self._read(block, dict(self._named()))
        except pa.ArrowInvalid:
            self._widen(block)
            table = self._read(block, dict(self._named()))
        unsafe = self._unsafe(block, table)
        if unsafe:
            for index in unsafe:
                self._set(index, _TEXT)
            table = self._read(block, dict(self._named()))
        return table

    def read(self, block: Block) -> pa.Table:
        """Read a block by the schema; empty text is a missing value."""
        schema = self.schema
        table = self._read(
            block, dict(zip(schema.names, schema.types, strict=True))
        )
        for index, kind in enumerate(schema.types):
            if pa.types.is_string(kind):
                text = table.column(index)
                empty = pc.equal(text, "")
                if pc.any(empty).as_py():
                    text = pc.if_else(empty, pa.scalar(None, _TEXT), text)
                    table = table.set_column(index, schema.field(index), text)
        return table

    def _named(self) -> list[tuple[str, pa.DataType]]:
        return list(zip(self.names, self._types, strict=True))

    def _set(self, index: int, kind: pa.DataType) -> None:
        types = list(self._types)
        types[index] = kind
        self._types = tuple(types)

    def _widen(self, block: Block) -> None:
        try:
            found = self._read(block, None).schema.types
        except pa.ArrowInvalid as error:
            raise locate(
                block, self.names, self._reading, str(error)
            ) from error
        changed = []
        for index, (known, new) in enumerate(
            zip(self._types, found, strict=True)
        ):
            merged = wider(known, new)
            if index in self._long and pa.types.is_floating(merged):
                merged = _TEXT
            if merged != known:
                self._set(index, merged)
                changed.append(index)
        self._confirm(block, changed)

    def _confirm(self, block: Block, changed: Sequence[int]) -> None:
        """Give up on types that the block does not fit after all."""
        if self._fits(block, range(len(self.names))):
            return
        suspects = changed if not self._fits(block, changed) else ()
        for index in suspects or range(len(self.names)):
            while not self._fits(block, [index]):
                self._set(index, _next_wider(self._types[index]))

    def _fits(self, block: Block, indexes: Sequence[int]) -> bool:
        chosen = {self.names[i]: self._types[i] for i in indexes}
        try:
            self._read(block, chosen, only=list(chosen))
        except pa.ArrowInvalid:
            return False
        return True

    def _unsafe(self, block: Block, table: pa.Table) -> list[int]:
        """Return columns that must be text for nothing to be lost."""
        codes = self._of_kind(pa.types.is_integer)
        floats = self._of_kind(pa.types.is_floating)
        self._long.update(_beyond(table, codes))
        wholes = _beyond(table, floats)
        return [
            *self._matching(block, codes, _CODE),
            *self._matching(block, wholes, _LONG_WHOLE),
        ]

    def _of_kind(self, is_kind: Callable[[pa.DataType], bool]) -> list[int]:
        return [i for i, kind in enumerate(self._types) if is_kind(kind)]

    def _matching(
        self, block: Block, indexes: Sequence[int], pattern: str
    ) -> list[int]:
        if not indexes:
            return []
        names = [self.names[index] for index in indexes]
        text = self._read(block, dict.fromkeys(names, _TEXT), only=names)
        return [
            index
            for index, column in zip(indexes, text.columns, strict=True)
            if pc.any(pc.match_substring_regex(column, pattern)).as_py()
        ]

    def _read(
        self,
        block: Block,
        types: dict[str, pa.DataType] | None,
        only: list[str] | None = None,
    ) -> pa.Table:
        return csv.read_csv(
            pa.BufferReader(block.data),
            csv.ReadOptions(
                column_names=self.names, block_size=len(block.data) + 1
            ),
            csv.ParseOptions(
                delimiter=self._reading.separator,
                newlines_in_values=block.quoted,
            ),
            csv.ConvertOptions(
                column_types=types,
                include_columns=only,
                decimal_point=self._reading.decimal_point,
                null_values=list(self._reading.nulls),
                true_values=_TRUE,
                false_values=_FALSE,
                timestamp_parsers=[csv.ISO8601, *self._reading.timestamps],
                # What is checked already.
                check_utf8=False,
            ),
        )


def wider(known: pa.DataType, new: pa.DataType) -> pa.DataType:
    """Return the narrowest type that holds the values of both."""
    if known == new or pa.types.is_null(new):
        return known
    if pa.types.is_null(known):
        return _canonical(new)
    kinds = (known, new)
    if all(pa.types.is_integer(k) or pa.types.is_floating(k) for k in kinds):
        return pa.float64()
    moments = [k for k in kinds if pa.types.is_timestamp(k)]
    dates = [k for k in kinds if pa.types.is_date(k)]
    zones = {k.tz for k in moments} | ({None} if dates else set())
    if len(moments) + len(dates) == 2 and moments and len(zones) == 1:
        return max(map(_canonical, moments), key=_fineness)
    return _TEXT


def _canonical(kind: pa.DataType) -> pa.DataType:
    """Return microseconds where Arrow takes nanoseconds for any fraction."""
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    return kind


_UNITS = ("s", "ms", "us", "ns")


def _fineness(kind: pa.DataType) -> int:
    return _UNITS.index(kind.unit)


def _next_wider(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        return pa.timestamp("ns", kind.tz)
    if pa.types.is_string(kind):
        msg = "a value can't be read even as text"
        raise CsvError(msg)
    return pa.float64() if pa.types.is_integer(kind) else _TEXT


def _beyond(table: pa.Table, indexes: Sequence[int]) -> list[int]:
    """Return the columns with a value that a float may not hold exactly.

    All together first: mostly there is none, and a call for each of
    thousands of columns would take longer than the looking.
    """
    columns = [table.column(index) for index in indexes]
    if not columns or not _is_beyond(
        pa.chunked_array([part for c in columns for part in c.chunks])
    ):
        return []
    return [
        index
        for index, column in zip(indexes, columns, strict=True)
        if _is_beyond(column)
    ]


def _is_beyond(column: pa.ChunkedArray) -> bool:
    ends = pc.min_max(column).as_py().values()
    return any(end is not None and abs(end) >= EXACT_FLOAT for end in ends)
