"""The length of the subsequences that are compared: a day by default."""

import re
from dataclasses import dataclass

from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.series import Series, duration_text
from moderate.workloads.matrix_profile.times import MICROSECONDS

# Fewer values have hardly any shape once level and scale are taken away.
SHORTEST_WINDOW = 4
# With fewer, every window overlaps nearly every other one.
FEWEST_WINDOWS = 3
# Without times there is no day; it is the number of hours in one.
DEFAULT_ROWS = 24

_DAY = 86_400 * MICROSECONDS
# The natural cycles of a building, tried until one has enough values.
_CYCLES = (
    (_DAY, "a day, the natural rhythm of a building"),
    (7 * _DAY, "a week, as a day has too few values at this step"),
    (365 * _DAY, "a year, as a week has too few values at this step"),
)
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SETTING = re.compile(r"(?i)(\d{1,9}(?:\.\d{1,6})?)\s*(s|min|h|d|w)")


@dataclass(frozen=True)
class WindowSetting:
    """A window that somebody asked for.

    Attributes:
        text: The setting as it was written.
        amount: Its length, in microseconds or in values.
        is_time: Whether it is a length of time.
    """

    text: str
    amount: int
    is_time: bool


@dataclass(frozen=True)
class Window:
    """The window of one run.

    Attributes:
        points: Its length in values, at least ``SHORTEST_WINDOW``.
        text: Its length in words, such as ``1 day (96 values)``.
        reason: Why this length.
    """

    points: int
    text: str
    reason: str


def parse_window(text: str) -> WindowSetting:
    """Reads a setting such as ``24h``, ``90min``, ``7 d`` or ``96``.

    Args:
        text: The setting; a bare number counts values.

    Returns:
        The setting, with its text for messages.

    Raises:
        ValueError: It is neither a duration nor a positive whole number.
    """
    if text.isascii() and text.isdigit() and 0 < int(text) < 10**9:
        return WindowSetting(text, int(text), is_time=False)
    match = _SETTING.fullmatch(text)
    if match is None or float(match[1]) == 0:
        raise ValueError(
            "not a length such as 24h, 90min, 7d or a number of values"
        )
    seconds = float(match[1]) * _UNITS[match[2].lower()]
    return WindowSetting(text, round(seconds * MICROSECONDS), is_time=True)


def choose_window(series: Series, setting: WindowSetting | None) -> Window:
    """Chooses the window for a series.

    Args:
        series: The regular series.
        setting: What was asked for, if anything.

    Returns:
        The window and the reason for it.

    Raises:
        InputError: The window does not fit the series.
    """
    window = (
        _default(series) if setting is None else _as_asked(series, setting)
    )
    if window.points < SHORTEST_WINDOW:
        raise InputError(
            f"the window {window.text} is too short for this series: it needs "
            f"at least {SHORTEST_WINDOW} values"
        )
    needed = FEWEST_WINDOWS * window.points
    if series.values.size < needed:
        raise InputError(
            f"the series is too short: it spans {series.values.size:,} "
            f"steps, and a window of {window.text} needs at least {needed:,}"
        )
    return window


def _default(series: Series) -> Window:
    if series.step_us is None:
        return Window(
            DEFAULT_ROWS,
            f"{DEFAULT_ROWS} values",
            "the default where the table has no times",
        )
    for length, reason in _CYCLES:
        points = round(length / series.step_us)
        if points >= SHORTEST_WINDOW:
            return Window(points, _in_words(points, series.step_us), reason)
    raise InputError(
        "the values lie too far apart: a year has fewer than "
        f"{SHORTEST_WINDOW} of them"
    )


def _as_asked(series: Series, setting: WindowSetting) -> Window:
    if not setting.is_time:
        points = setting.amount
    elif series.step_us is None:
        raise InputError(
            f"the window {setting.text} is a length of time, but no column "
            "with times was found in the table; give a number of values"
        )
    else:
        points = round(setting.amount / series.step_us)
    return Window(
        points,
        _in_words(points, series.step_us),
        f"asked for by the setting ({setting.text})",
    )


def _in_words(points: int, step_us: int | None) -> str:
    if step_us is None:
        return f"{points:,} values"
    return f"{duration_text(points * step_us)} ({points:,} values)"
