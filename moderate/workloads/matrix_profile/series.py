"""Puts a table's rows on an even grid of times, and says what that took.

Nothing is filled in: a step without a value stays NaN, and no subsequence
that touches it is compared. So every number in the report rests on measured
values only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.notes import Note, count
from moderate.workloads.matrix_profile.table import Table
from moderate.workloads.matrix_profile.times import MICROSECONDS, Times

# Times this close to the grid (as a share of the step) lie on it.
ON_GRID = 0.01
# An uneven step this close to a round one is taken for it.
NEARLY_ROUND = 0.02
# More rows than this share at the time of others hint at several meters.
SUSPICIOUS_SHARE = 0.05

_SECOND = MICROSECONDS
# Seconds in a unit, and its name for one and for several.
_UNITS = (
    (604_800, "week", "weeks"),
    (86_400, "day", "days"),
    (3600, "h", "h"),
    (60, "min", "min"),
)
_ROUND_STEPS = tuple(
    seconds * _SECOND
    for seconds in (
        *(1, 2, 5, 10, 15, 20, 30),
        *(60 * minutes for minutes in (1, 2, 3, 5, 6, 10, 12, 15, 20, 30)),
        *(3600 * hours for hours in (1, 2, 3, 4, 6, 8, 12, 24, 168)),
    )
)


@dataclass(frozen=True)
class Series:
    """Values at even steps.

    Attributes:
        values: The values; NaN where the table has none.
        start_us: Time of the first value as the table's clock shows it, in
            microseconds since 1970; ``None`` if the table has no times.
        step_us: The step in microseconds; ``None`` if it has no times.
        zone: The clock's name; empty if the table doesn't say.
        notes: What the reader should know.
    """

    values: NDArray[np.float64]
    start_us: int | None
    step_us: int | None
    zone: str = ""
    notes: tuple[Note, ...] = ()

    def time_text(self, index: int, *, day: bool = True) -> str:
        """Writes the time (or the row) of a value for people."""
        if self.start_us is None or self.step_us is None:
            return f"row {index + 1:,}"
        time = _clock_time(self.start_us + index * self.step_us)
        if self.step_us % (24 * 3600 * _SECOND) == 0 and not (
            self.start_us % (24 * 3600 * _SECOND)
        ):
            pattern = "%a %d %b %Y"
        elif self.step_us % (60 * _SECOND) or self.start_us % (60 * _SECOND):
            pattern = "%a %d %b %Y %H:%M:%S"
        else:
            pattern = "%a %d %b %Y %H:%M"
        return time.strftime(pattern if day else pattern.removeprefix("%a "))


def _clock_time(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def duration_text(micros: int) -> str:
    """Writes a length of time: ``15 min``, ``1 day``, ``1.5 h``."""
    seconds = micros / MICROSECONDS
    for length, one, several in _UNITS:
        if seconds >= length and seconds % length == 0:
            number = int(seconds // length)
            return f"{number:,} {one if number == 1 else several}"
    for length, _, several in _UNITS[1:]:
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {several}"
    return f"{seconds:.3g} s"


def regular_series(table: Table, *, max_points: int) -> Series:
    """Makes an even series of a table.

    Args:
        table: The variable and, perhaps, the times.
        max_points: More steps than this are refused.

    Returns:
        The series; rows at the same step are averaged, steps without rows
        are NaN.

    Raises:
        InputError: There are too few values, or the times span too many
            steps.
    """
    if table.times is None:
        text = (
            "No column with times was found, so the rows are taken as evenly "
            "spaced and in order, and are named by their numbers."
        )
        return _checked(
            Series(table.values, None, None, "", (Note(text, "warning"),))
        )
    times, values, notes = _in_order(table.times, table.values)
    distinct = np.unique(times)
    if distinct.size < 2:
        raise InputError("all values have the same time, or none at all")
    step, start, even = _grid(distinct)
    steps = int((distinct[-1] - start + step // 2) // step) + 1
    if steps > max_points:
        raise _too_many(table, start, int(distinct[-1]), step, steps)
    notes += tuple(_grid_notes(times, even=even, step=step))
    slots = (times - start + step // 2) // step
    grid = _average(slots, values, steps)
    return _checked(Series(grid, start, step, table.times.zone, notes))


def _in_order(
    clock: Times, values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], tuple[Note, ...]]:
    """Sorts the rows by time and drops those without one."""
    notes = list(clock.notes)
    readable = clock.readable
    lost = int(readable.size - readable.sum())
    if lost:
        text = f"{count(lost, 'row')} had no readable time and was left out."
        notes.append(Note(text, "warning"))
    times = clock.micros[readable] + clock.offset_us
    values = values[readable]
    back = int((np.diff(times) < 0).sum())
    if back:
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
        notes.append(
            Note(
                f"The rows were out of order ({back:,} times) and were sorted."
            )
        )
    return times, values, tuple(notes)


def _grid(distinct: NDArray[np.int64]) -> tuple[int, int, bool]:
    """Chooses the grid: its step, its first time, and if it is the rows'."""
    step = int(np.median(np.diff(distinct)))
    start = int(distinct[0])
    if _on_grid(distinct, start, step):
        return step, start, True
    for candidate in _ROUND_STEPS:
        if abs(candidate - step) <= NEARLY_ROUND * candidate:
            step = candidate
    return step, _typical_phase(distinct, step), False


def _on_grid(distinct: NDArray[np.int64], start: int, step: int) -> bool:
    away = (distinct - start + step // 2) % step - step // 2
    return bool((abs(away) <= ON_GRID * step).all())


def _typical_phase(distinct: NDArray[np.int64], step: int) -> int:
    """Lays the grid through the middle of where the times fall in a step.

    The mean of an angle: jitter around a step's edge must not put
    neighbours into the same slot.
    """
    angles = 2 * np.pi * ((distinct % step) / step)
    mean = np.arctan2(np.sin(angles).mean(), np.cos(angles).mean())
    phase = round(mean / (2 * np.pi) * step)
    if abs(phase) <= NEARLY_ROUND * step:
        phase = 0
    first = int(distinct[0])
    away = (first - phase + step // 2) % step - step // 2
    return first - int(away)


def _average(
    slots: NDArray[np.int64], values: NDArray[np.float64], steps: int
) -> NDArray[np.float64]:
    """Averages the values of each slot; equal values stay what they are.

    A plain mean of equal numbers may differ in the last digit, which would
    turn a flat run into noise.
    """
    known = np.isfinite(values)
    slots, values = slots[known], values[known]
    total = np.bincount(slots, weights=values, minlength=steps)
    number = np.bincount(slots, minlength=steps)
    low, high = np.full(steps, np.inf), np.full(steps, -np.inf)
    np.minimum.at(low, slots, values)
    np.maximum.at(high, slots, values)
    grid = np.full(steps, np.nan)
    some = number > 0
    grid[some] = total[some] / number[some]
    same = some & (low == high)
    grid[same] = low[same]
    return grid


def _grid_notes(
    times: NDArray[np.int64], *, even: bool, step: int
) -> Iterator[Note]:
    repeated = int((np.diff(times) == 0).sum())
    if repeated:
        text = (
            f"{count(repeated, 'row')} repeated the time of another row; "
            "values at the same time were averaged."
        )
        suspicious = repeated > SUSPICIOUS_SHARE * times.size
        if suspicious:
            text += (
                " So many repetitions hint at several meters in one table; "
                "if so, their average means little."
            )
        yield Note(text, "warning" if suspicious else "info")
    if not even:
        text = (
            "The rows are not evenly spaced: each value was put on the "
            f"nearest step of {duration_text(step)} (the median distance), "
            "and values on the same step were averaged."
        )
        yield Note(text, "warning")


def _too_many(
    table: Table, start: int, end: int, step: int, steps: int
) -> InputError:
    return InputError(
        f"the times run from {_clock_time(start):%Y-%m-%d} to "
        f"{_clock_time(end):%Y-%m-%d} at a step of {duration_text(step)}: "
        f"{steps:,} steps for {table.values.size:,} rows are too many; "
        "look for wrong times, or analyse a shorter period"
    )


def _checked(series: Series) -> Series:
    known = series.values[np.isfinite(series.values)]
    if known.size < 2:
        raise InputError(f"the series has {count(known.size, 'value')} only")
    if (known == known[0]).all():
        raise InputError(
            "the series never changes: all its values are "
            f"{known[0]:g}, so there are no patterns to find"
        )
    return series
