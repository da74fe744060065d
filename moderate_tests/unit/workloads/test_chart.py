"""Drawings show every spike and every gap, with round marks."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.workloads.matrix_profile.chart import (
    Box,
    line_path,
    position_ticks,
    value_scale,
)
from moderate.workloads.matrix_profile.series import Series

BOX = Box(0, 0, 100, 50)
DAY = 86_400 * 10**6


@given(
    st.lists(
        st.floats(-1e12, 1e12, allow_subnormal=False).map(
            lambda v: 0.0 if abs(v) < 1e-9 else v
        ),
        min_size=1,
    )
)
def test_a_scale_holds_all_values_with_few_marks(numbers: list[float]) -> None:
    scale = value_scale(np.array(numbers))
    assert scale.low <= min(numbers)
    assert max(numbers) <= scale.high
    assert 2 <= len(scale.ticks) <= 8


def test_no_spike_is_lost() -> None:
    values = np.zeros(100_000)
    values[54_321] = 1.0
    path = line_path(values, BOX, value_scale(values), span=values.size)
    assert " 0.0" in path
    assert len(path) < 5_000


def test_a_gap_breaks_the_line() -> None:
    values = np.array([1.0, 2.0, math.nan, 2.0, 1.0])
    path = line_path(values, BOX, value_scale(values), span=5)
    assert re.sub(r"[^ML]", "", path) == "MLML"


def test_a_shorter_line_ends_before_the_edge() -> None:
    """A profile is shorter than its series; both share the axis."""
    values = np.ones(50)
    path = line_path(values, BOX, value_scale(values), span=100)
    assert max(float(x) for x in re.findall(r"[ML]([\d.]+)", path)) < 50


@pytest.mark.parametrize(
    ("days", "first", "count"),
    [
        (1 / 24, "01 Jan 00:00", 4),
        (1, "01 Jan 00:00", 8),
        (30, "06 Jan", 5),
        (365, "Jan 2020", 7),
        (3650, "2020", 6),
    ],
)
def test_marks_of_time_are_round(days: float, first: str, count: int) -> None:
    begin = 1_577_836_800 * 10**6
    series = Series(np.zeros(1000), begin, round(days * DAY / 1000))
    ticks = position_ticks(series, BOX)
    assert ticks[0].label == first
    assert abs(len(ticks) - count) <= 3
    assert all(0 <= tick.at <= 100 for tick in ticks)


def test_marks_of_rows_are_numbers() -> None:
    ticks = position_ticks(Series(np.zeros(1000), None, None), BOX)
    assert [tick.label for tick in ticks][:2] == ["0", "200"]
