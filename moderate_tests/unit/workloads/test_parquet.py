"""Parquet files are read by their types."""

import io
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.reader import read_table
from moderate.workloads.matrix_profile.table import Table

BEGIN = datetime(2020, 1, 1)  # noqa: DTZ001 (a column without a clock)
HOURS = [BEGIN + timedelta(hours=hour) for hour in range(3)]


def read(
    columns: dict[str, Any], variable: str = "kWh", max_rows: int = 1000
) -> Table:
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return read_table(file, variable, max_rows=max_rows)


def column(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(values, kind)


@pytest.mark.parametrize(
    "times",
    [
        column(HOURS, pa.timestamp("ns")),
        column(HOURS, pa.timestamp("ms")),
        column(HOURS, pa.timestamp("us", "UTC")),
        column([str(hour) for hour in HOURS], pa.string()),
        column([str(hour) for hour in HOURS], pa.string()).dictionary_encode(),
        column([1577836800 + 3600 * h for h in range(3)], pa.int64()),
    ],
)
def test_times_of_any_type(times: pa.Array) -> None:
    table = read({"kWh": [1.0, 2.0, 3.0], "time": times})
    assert table.time_column == "time"
    assert table.times is not None
    assert np.diff(table.times.micros).tolist() == [3600 * 10**6] * 2


def test_a_column_of_times_is_found_whatever_its_name() -> None:
    table = read({"a": [1, 2, 3], "x": HOURS, "kWh": [1, 2, 3]})
    assert table.time_column == "x"


def test_dates_are_times() -> None:
    days = [date(2020, 1, day) for day in (1, 2, 3)]
    table = read({"day": days, "kWh": [1, 2, 3]})
    assert table.times is not None
    assert np.diff(table.times.micros).tolist() == [86_400 * 10**6] * 2


def test_another_clock_is_shown_in_utc_and_this_is_said() -> None:
    times = column(HOURS, pa.timestamp("us", "Europe/Madrid"))
    table = read({"time": times, "kWh": [1, 2, 3]})
    assert table.times is not None
    assert table.times.zone == "UTC"
    assert "Europe/Madrid" in table.times.notes[0].text


def test_without_times_there_are_none() -> None:
    assert read({"kWh": [1, 2, 3], "counter": [1, 2, 3]}).times is None


@pytest.mark.parametrize(
    "values",
    [
        column([1, None, 3], pa.int32()),
        column([1.0, float("inf"), 3.0], pa.float64()),
        column([Decimal(1), None, Decimal(3)], pa.decimal128(9, 2)),
        column(["1,0", "", "3,0"], pa.string()),
        column(["1", None, "3"], pa.string()).dictionary_encode(),
        column([1.0, float("nan"), 3.0], pa.float32()),
    ],
)
def test_numbers_of_any_type(values: pa.Array) -> None:
    table = read({"time": HOURS, "kWh": values})
    assert np.isnan(table.values).tolist() == [False, True, False]
    assert table.values[[0, 2]].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (column(HOURS, pa.timestamp("us")), "holds times"),
        (
            column([[1], [2], [3]], pa.list_(pa.int8())),
            "does not hold numbers",
        ),
        (column([None] * 3, pa.float64()), "holds no numbers"),
        (column(["a", "b", "c"], pa.string()), "holds no numbers"),
    ],
)
def test_what_holds_no_numbers_is_refused(
    values: pa.Array, expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        read({"time": HOURS, "kWh": values})


def test_an_unknown_variable_lists_the_columns() -> None:
    with pytest.raises(InputError, match="it has: time, kWh"):
        read({"time": HOURS, "kWh": [1, 2, 3]}, "gas")


def test_bounds_and_damage_are_told() -> None:
    with pytest.raises(InputError, match="more than 2 rows"):
        read({"kWh": [1, 2, 3]}, max_rows=2)
    with pytest.raises(InputError, match="no rows"):
        read({"kWh": column([], pa.float64())})
    with pytest.raises(InputError, match="damaged"):
        read_table(io.BytesIO(b"PAR1" + b"x" * 99), "kWh", max_rows=9)


def test_names_that_occur_twice_are_refused() -> None:
    file = io.BytesIO()
    twice = pa.table([[1, 2], [3, 4]], names=["kWh", "kWh"])
    parquet.write_table(twice, file)
    with pytest.raises(InputError, match="several columns"):
        read_table(file, "kWh", max_rows=9)
