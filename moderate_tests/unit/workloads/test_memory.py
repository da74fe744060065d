"""Memory grows with the rows that are analysed, not with the file."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

MEBIBYTE = 1024 * 1024
ROWS = 60_000
COLUMNS = 150
# Two columns of so many rows are about 10 MiB of text and numbers.
ALLOWED_GROWTH = 64 * MEBIBYTE

PROGRAM = """
import resource, sys
from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.reader import read_table
if sys.argv[2] == "parquet":
    import pyarrow.parquet
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
with open(sys.argv[1], "rb") as file:
    before = peak()
    try:
        rows = read_table(file, "power", max_rows=100_000).values.size
    except InputError:
        rows = 0
print(rows, peak() - before)
"""


def rows_and_growth(file: Path, kind: str = "csv") -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file), kind],
        capture_output=True,
        text=True,
        check=True,
    )
    rows, growth = done.stdout.split()
    return int(rows), int(growth)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "table"
    yield path
    path.unlink()


def test_a_wide_text_table(file: Path) -> None:
    rest = ",123.45678" * (COLUMNS - 2)
    with file.open("w") as out:
        names = ",".join(f"c{column}" for column in range(COLUMNS - 2))
        out.write(f"time,power,{names}\n")
        for row in range(ROWS):
            clock = f"{row // 60 % 24:02d}:{row % 60:02d}"
            day = f"{row // 1440 % 28 + 1:02d}"
            month = f"{row // 1440 // 28 + 1:02d}"
            out.write(f"2020-{month}-{day} {clock},{row % 97}{rest}\n")
    assert file.stat().st_size > 80 * MEBIBYTE
    rows, growth = rows_and_growth(file)
    assert rows == ROWS
    assert growth < ALLOWED_GROWTH


def test_a_wide_parquet_table(file: Path) -> None:
    numbers = np.random.default_rng(1).normal(0, 1, ROWS)
    columns = {f"c{column}": numbers + column for column in range(COLUMNS)}
    parquet.write_table(pa.table({"power": numbers, **columns}), file)
    assert file.stat().st_size > 50 * MEBIBYTE
    rows, growth = rows_and_growth(file, "parquet")
    assert rows == ROWS
    assert growth < ALLOWED_GROWTH


def test_a_line_that_never_ends(file: Path) -> None:
    with file.open("wb") as out:
        out.write(b"time,power\n2020-01-01 00:00,1\n2020-01-01 01:00,2\n")
        for _ in range(100):
            out.write(b"x" * MEBIBYTE)
    rows, growth = rows_and_growth(file)
    assert rows == 0
    assert growth < ALLOWED_GROWTH
