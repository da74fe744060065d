"""What is read of a table: one column, with the times of its rows.

Whatever the file is, only the variable and the columns that hold the time
are kept, as they are read; so memory grows with the number of rows, which is
bounded, and not with the number of columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.notes import Note
from moderate.workloads.matrix_profile.times import Times

# How many column names a message lists, and how much of each.
LISTED_COLUMNS = 30
LISTED_CHARACTERS = 60


@dataclass(frozen=True)
class Table:
    """What is left of a table.

    Attributes:
        values: The variable, one for each row; NaN where it is missing.
        times: Their times; ``None`` if no column holds times.
        time_column: Name of the column (or columns) with the times.
        kind: The file's kind in words, such as ``CSV``.
        notes: What the reader should know.
    """

    values: NDArray[np.float64]
    times: Times | None
    time_column: str
    kind: str
    notes: tuple[Note, ...] = ()


def unknown_variable(variable: str, columns: Sequence[str]) -> InputError:
    """Builds the error for a variable that the table doesn't have."""
    listed = [_one_line(column) for column in columns[:LISTED_COLUMNS]]
    more = len(columns) - len(listed)
    rest = f" and {more:,} more" if more > 0 else ""
    return InputError(
        f"the table has no column “{_one_line(variable)}”; "
        f"it has: {', '.join(listed)}{rest}"
    )


def too_many_rows(max_rows: int) -> InputError:
    """Builds the error for a table that is too long."""
    return InputError(
        f"the table is too long: more than {max_rows:,} rows; "
        "analyse a shorter period or a coarser step"
    )


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    if len(text) > LISTED_CHARACTERS:
        return text[:LISTED_CHARACTERS] + "…"
    return text or "(unnamed)"
