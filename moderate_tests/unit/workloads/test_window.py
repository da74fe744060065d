"""The window is a day, unless somebody says otherwise."""

import numpy as np
import pytest

from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.series import Series
from moderate.workloads.matrix_profile.window import (
    choose_window,
    parse_window,
)

SECOND = 10**6


def series(step_seconds: float | None, length: int = 10_000) -> Series:
    values = np.arange(length, dtype=float)
    if step_seconds is None:
        return Series(values, None, None)
    return Series(values, 0, round(step_seconds * SECOND))


@pytest.mark.parametrize(
    ("step", "points", "text", "reason"),
    [
        (60, 1440, "1 day (1,440 values)", "a day"),
        (900, 96, "1 day (96 values)", "a day"),
        (3600, 24, "1 day (24 values)", "a day"),
        (6 * 3600, 4, "1 day (4 values)", "a day"),
        (86_400, 7, "1 week (7 values)", "a week"),
        (30 * 86_400, 12, "360 days (12 values)", "a year"),
        (None, 24, "24 values", "no times"),
    ],
)
def test_the_default_is_the_shortest_cycle_with_enough_values(
    step: float | None, points: int, text: str, reason: str
) -> None:
    window = choose_window(series(step), None)
    assert (window.points, window.text) == (points, text)
    assert reason in window.reason


@pytest.mark.parametrize(
    ("setting", "points"),
    [
        ("24h", 96),
        ("7 d", 672),
        ("90min", 6),
        ("1.5h", 6),
        ("1w", 672),
        ("48", 48),
    ],
)
def test_a_setting_is_a_length_or_a_number_of_values(
    setting: str, points: int
) -> None:
    window = choose_window(series(900), parse_window(setting))
    assert window.points == points
    assert setting in window.reason


@pytest.mark.parametrize(
    "setting", ["", "0", "0h", "-1", "day", "1h30", "1e3", "٣", "99999999999"]
)
def test_other_settings_are_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="not a length"):
        parse_window(setting)


@pytest.mark.parametrize(
    ("step", "length", "setting", "expected"),
    [
        (900, 200, None, "too short: it spans 200 steps"),
        (3600, 10_000, "1h", "too short for this series"),
        (None, 10_000, "24h", "no column with times"),
        (200 * 86_400, 10_000, None, "too far apart"),
    ],
)
def test_a_window_that_does_not_fit_is_refused(
    step: float | None, length: int, setting: str | None, expected: str
) -> None:
    asked = None if setting is None else parse_window(setting)
    with pytest.raises(InputError, match=expected):
        choose_window(series(step, length), asked)
