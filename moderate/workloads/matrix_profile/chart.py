"""Drawings in SVG that need no script: lines, axes, small overlays."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from moderate.workloads.matrix_profile.series import Series

_SECOND = 1_000_000
_HOUR = 3600 * _SECOND
_DAY = 24 * _HOUR
# Steps of a time axis below a month.
_TIME_STEPS = (
    *(_SECOND * s for s in (1, 5, 15, 30, 60, 300, 900, 1800)),
    *(_HOUR * h for h in (1, 3, 6, 12)),
    *(_DAY * d for d in (1, 2, 7, 14)),
)
# Weeks begin on Mondays, such as the 5th of January 1970.
_MONDAY = 4 * _DAY
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)


@dataclass(frozen=True)
class Box:
    """A rectangle of a drawing, in its units."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where it is, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class Scale:
    """The range of a vertical axis, with its marks."""

    low: float
    high: float
    ticks: tuple[float, ...]


def value_scale(values: NDArray[np.float64], ticks: int = 5) -> Scale:
    """Chooses a vertical axis that shows all values, with round marks."""
    finite = values[np.isfinite(values)]
    low, high = (
        (float(finite.min()), float(finite.max())) if finite.size else (0, 1)
    )
    if low == high:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(
        (f * power for f in (1, 2, 2.5, 5) if f * power >= raw), 10 * power
    )
    first, last = math.floor(low / step), math.ceil(high / step)
    marks = tuple(round(step * k, 12) for k in range(first, last + 1))
    return Scale(first * step, last * step, marks)


def line_path(
    values: NDArray[np.float64], box: Box, scale: Scale, *, span: int
) -> str:
    """Draws a line as the data of an SVG path, broken at gaps.

    Each column of the drawing gets its lowest and highest value, so no spike
    is lost and the path is short however long the series is.

    Args:
        values: What to draw, from the left edge on.
        box: Where.
        scale: The vertical axis.
        span: How many values the box is wide, at least ``values.size``.

    Returns:
        The path's ``d`` attribute.
    """
    columns = min(max(2, round(box.width)), span)
    edges = np.linspace(0, span, columns + 1).astype(np.int64)
    parts: list[str] = []
    pen_down = False
    for column, (low, high) in enumerate(_extremes(values, edges)):
        if math.isnan(low):
            pen_down = False
            continue
        x = box.left + box.width * (column + 0.5) / columns
        tops = [_height(value, box, scale) for value in (low, high)]
        points = tops if tops[0] != tops[1] else tops[:1]
        for y in points:
            parts.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
            pen_down = True
    return "".join(parts)


def _extremes(
    values: NDArray[np.float64], edges: NDArray[np.int64]
) -> Iterator[tuple[float, float]]:
    """Yields the lowest and the highest value between edges, or NaN."""
    for start, end in itertools.pairwise(edges):
        part = values[start:end]
        part = part[np.isfinite(part)]
        if part.size:
            yield float(part.min()), float(part.max())
        else:
            yield math.nan, math.nan


def _height(value: float, box: Box, scale: Scale) -> float:
    share = (value - scale.low) / (scale.high - scale.low)
    return box.top + box.height * (1 - share)


def value_ticks(box: Box, scale: Scale) -> list[Tick]:
    """Places the marks of a vertical axis."""
    return [Tick(_height(v, box, scale), f"{v:g}") for v in scale.ticks]


def position_ticks(series: Series, box: Box, wanted: int = 8) -> list[Tick]:
    """Places the marks of the horizontal axis: times, or row numbers."""
    last = series.values.size
    if series.start_us is None or series.step_us is None:
        scale = value_scale(np.array([0.0, last]), wanted)
        marks = [(mark, f"{mark:,.0f}") for mark in scale.ticks]
    else:
        start, step = series.start_us, series.step_us
        marks = [
            ((micros - start) / step, label)
            for micros, label in _time_marks(
                start, start + last * step, wanted
            )
        ]
    return [
        Tick(box.left + box.width * mark / last, label)
        for mark, label in marks
        if 0 <= mark <= last
    ]


def _time_marks(
    start: int, end: int, wanted: int
) -> Sequence[tuple[int, str]]:
    for step in _TIME_STEPS:
        if (end - start) / step <= wanted:
            first = start + (_MONDAY - start) % step
            pattern = "%d %b" if step >= _DAY else "%d %b %H:%M"
            return [
                (micros, _date(micros).strftime(pattern))
                for micros in range(first, end, step)
            ]
    return _month_marks(start, end, wanted)


def _month_marks(
    start: int, end: int, wanted: int
) -> Sequence[tuple[int, str]]:
    begin, finish = _date(start), _date(end)
    first = begin.year * 12 + begin.month - 1
    last = finish.year * 12 + finish.month - 1
    step = next(
        (s for s in _MONTH_STEPS if (last - first) / s <= wanted),
        _MONTH_STEPS[-1],
    )
    pattern = "%Y" if step >= 12 else "%b %Y"
    marks = []
    for month in range(-(-first // step) * step, last + 1, step):
        day = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        micros = (day - _date(0)) // timedelta(microseconds=1)
        marks.append((micros, day.strftime(pattern)))
    return marks


def _date(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
