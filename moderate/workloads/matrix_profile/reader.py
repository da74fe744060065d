"""Reads a table, whatever kind of file it is."""

from typing import IO

from moderate.workloads.matrix_profile import csv_table
from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.table import Table


def read_table(file: IO[bytes], variable: str, *, max_rows: int) -> Table:
    """Reads a CSV or Parquet file.

    Args:
        file: The file, open for reading in binary, seekable.
        variable: Name of the column to analyse.
        max_rows: More rows than this are refused.

    Returns:
        The variable and the times.

    Raises:
        InputError: It is no table that we read, the variable isn't in it or
            doesn't hold numbers, or there are too many rows.
    """
    file.seek(0)
    start = file.read(8)
    if not start:
        raise InputError("the file is empty")
    if start.startswith(b"PAR1"):
        # An import that a CSV file need not pay for.
        from moderate.workloads.matrix_profile import (  # noqa: PLC0415
            parquet_table,
        )

        return parquet_table.read(file, variable, max_rows=max_rows)
    return csv_table.read(file, variable, max_rows=max_rows)
