"""The grid of times is even, and nothing on it was made up."""

import math
from itertools import pairwise

import numpy as np
import pytest

from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.series import (
    Series,
    duration_text,
    regular_series,
)
from moderate.workloads.matrix_profile.table import Table
from moderate.workloads.matrix_profile.times import NOT_A_TIME, Times

MINUTE = 60 * 10**6
BEGIN = 1_577_836_800 * 10**6  # 2020-01-01


def series_of(
    minutes: list[float],
    values: list[float] | None = None,
    max_points: int = 10_000,
) -> Series:
    micros = np.array([BEGIN + round(at * MINUTE) for at in minutes])
    numbers = np.array(
        values if values is not None else np.arange(len(minutes)), dtype=float
    )
    table = Table(numbers, Times(micros), "time", "CSV")
    return regular_series(table, max_points=max_points)


def said(series: Series) -> str:
    return " ".join(note.text for note in series.notes)


def test_even_rows_stay_as_they_are_without_a_word() -> None:
    series = series_of([0, 15, 30, 45])
    assert series.values.tolist() == [0, 1, 2, 3]
    assert (series.start_us, series.step_us) == (BEGIN, 15 * MINUTE)
    assert not series.notes


def test_missing_rows_become_gaps() -> None:
    series = series_of([0, 15, 30, 75, 90])
    assert np.isnan(series.values).tolist() == [0, 0, 0, 1, 1, 0, 0]


def test_unsorted_rows_are_sorted_and_this_is_said() -> None:
    series = series_of([30, 0, 15, 45], [3, 1, 2, 4])
    assert series.values.tolist() == [1, 2, 3, 4]
    assert "out of order" in said(series)


def test_values_at_the_same_time_are_averaged_and_this_is_said() -> None:
    series = series_of([0, 15, 15, 30], [1, 2, 4, 5])
    assert series.values.tolist() == [1, 3, 5]
    assert "1 row repeated" in said(series)


def test_a_missing_value_at_a_repeated_time_does_not_count() -> None:
    assert series_of([0, 15, 15, 30], [1, 2, math.nan, 5]).values[1] == 2


def test_many_repeated_times_hint_at_several_meters() -> None:
    series = series_of([0, 0, 15, 15, 30, 30], [1, 9, 2, 9, 3, 9])
    assert series.notes[0].level == "warning"
    assert "several meters" in said(series)


def test_the_average_of_equal_values_is_that_value() -> None:
    """Otherwise a flat run would become noise that looks like a pattern."""
    value = 0.1 + 0.2
    minutes = [at for at in range(0, 300, 15) for _ in range(3)]
    series = series_of([*minutes, 300], [value] * len(minutes) + [1.0])
    assert set(series.values[:-1]) == {value}


def test_jitter_neither_doubles_nor_loses_values() -> None:
    jitter = np.random.default_rng(1).uniform(-2, 2, 200)
    minutes = [15 * k + offset for k, offset in enumerate(jitter)]
    series = series_of(minutes)
    assert series.values.tolist() == list(range(200))
    assert series.step_us == 15 * MINUTE
    assert "not evenly spaced" in said(series)


def test_jitter_around_half_a_step_does_not_either() -> None:
    """A grid through the full quarters would cut between neighbours."""
    jitter = np.random.default_rng(2).uniform(-1, 1, 200)
    minutes = [15 * k + 7.5 + offset for k, offset in enumerate(jitter)]
    assert series_of(minutes).values.tolist() == list(range(200))


def test_events_go_to_the_nearest_step_and_this_is_said() -> None:
    series = series_of([0, 10, 11, 20, 30, 40, 43, 50, 60])
    assert series.step_us is not None
    assert "nearest step" in said(series)
    assert series.notes[-1].level == "warning"


def test_rows_without_a_time_are_left_out_and_counted() -> None:
    micros = np.array([BEGIN, NOT_A_TIME, BEGIN + MINUTE])
    table = Table(np.array([1.0, 2.0, 3.0]), Times(micros), "time", "CSV")
    series = regular_series(table, max_points=10)
    assert series.values.tolist() == [1, 3]
    assert "1 row had no readable time" in said(series)


def test_times_are_shown_on_the_clock_of_the_table() -> None:
    times = Times(np.array([BEGIN, BEGIN + MINUTE]), 60 * MINUTE, "UTC+01:00")
    table = Table(np.array([1.0, 2.0]), times, "time", "CSV")
    series = regular_series(table, max_points=10)
    assert series.time_text(0) == "Wed 01 Jan 2020 01:00"
    assert series.zone == "UTC+01:00"


def test_without_times_rows_are_numbered_and_this_is_said() -> None:
    table = Table(np.array([1.0, 2.0]), None, "", "CSV")
    series = regular_series(table, max_points=10)
    assert series.time_text(1) == "row 2"
    assert "No column with times" in said(series)


def test_one_stray_time_does_not_make_an_endless_grid() -> None:
    with pytest.raises(InputError, match="look for wrong times"):
        series_of([-(10**7), 0, 15, 30, 45])


@pytest.mark.parametrize(
    ("minutes", "values", "expected"),
    [
        ([0, 0, 0], [1, 2, 3], "same time"),
        ([0, 15, 30], [1, math.nan, math.nan], "1 value only"),
        ([0, 15, 30], [5, 5, math.nan], "never changes"),
    ],
)
def test_what_cannot_be_analysed_is_refused(
    minutes: list[float], values: list[float], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        series_of(minutes, values)


def test_times_are_written_as_finely_as_they_need() -> None:
    assert series_of([0, 1440]).time_text(0) == "Wed 01 Jan 2020"
    assert series_of([0, 15]).time_text(1, day=False) == "01 Jan 2020 00:15"
    assert series_of([0, 0.5]).time_text(1) == "Wed 01 Jan 2020 00:00:30"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 s"),
        (0.5, "0.5 s"),
        (90, "90 s"),
        (900, "15 min"),
        (5400, "90 min"),
        (3600, "1 h"),
        (86_400, "1 day"),
        (2 * 86_400, "2 days"),
        (604_800, "1 week"),
        (2.5 * 86_400, "60 h"),
        (86_400 * 10 + 1, "10 days"),
    ],
)
def test_lengths_of_time_are_written_for_people(
    seconds: float, text: str
) -> None:
    assert duration_text(round(seconds * 10**6)) == text


def test_longer_is_never_written_as_nothing() -> None:
    for shorter, longer in pairwise([1, 10**3, 10**6, 10**9, 10**12]):
        assert duration_text(shorter) != duration_text(longer)
