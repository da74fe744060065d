"""How a file is read, and what is known of it afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NULLS = (
    "",
    "#N/A",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
)
"""What stands for a missing value in a column that is not text."""


@dataclass(frozen=True)
class Reading:
    """How the files of a dataset are written.

    Attributes:
        separator: Between two values.
        decimal_point: In numbers.
        title_lines: Lines before the header that are left out.
        encoding: A name that Python knows. A UTF-8 byte order mark is left
            out.
        timestamps: Formats of ``strptime`` beside ISO 8601.
        nulls: What stands for a missing value, except in text, where only
            an empty value is one.
    """

    separator: str = ","
    decimal_point: str = "."
    title_lines: int = 0
    encoding: str = "utf-8"
    timestamps: tuple[str, ...] = ()
    nulls: tuple[str, ...] = NULLS


@dataclass(frozen=True)
class Facts:
    """What was converted, counted on each of the three files.

    Attributes:
        rows: Records of the source without its header.
        parquet_rows: As the Parquet file's footer says.
        csv_rows: As counted in the CSV file that was written.
        columns: Type by name, in order, as found over the whole file.
        parquet_columns: Names in the Parquet file.
        csv_columns: Names in the CSV file's header.
        preview: The first rows as text, of the first columns.
    """

    rows: int
    parquet_rows: int
    csv_rows: int
    columns: Mapping[str, str]
    parquet_columns: Sequence[str]
    csv_columns: Sequence[str]
    preview: Sequence[Mapping[str, Any]]
