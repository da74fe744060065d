"""Lines over time as SVG, which a page can hold without anything else."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

Point = tuple[float, float]

WIDTH, HEIGHT = 1000, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 990, 12, 212
WANTED_MARKS = 4


def lines(
    series: Mapping[str, Sequence[Point]],
    bands: Sequence[tuple[float, float]],
    seconds: float,
) -> Markup:
    """Draw some lines over the same time.

    Args:
        series: Points (second, value) of each line, by its name.
        bands: Times to shade: from, to.
        seconds: The width of the drawing.

    Returns:
        An ``svg`` element; its colours are classes of the page.
    """
    values = [value for line in series.values() for _, value in line]
    step = _step(max(values, default=1.0))
    top = step * max(1, math.ceil(max(values, default=1.0) / step))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        *(_band(band, seconds) for band in bands),
        *_marks(step, top, seconds),
    ]
    for number, (name, line) in enumerate(series.items()):
        points = " ".join(
            f"{_x(at, seconds):.1f},{_y(value, top):.1f}" for at, value in line
        )
        parts.append(
            f'<polyline class="line l{number}" points="{points}">'
            f"<title>{escape(name)}</title></polyline>"
        )
    return Markup("\n".join((*parts, "</svg>")))


def _step(most: float) -> float:
    raw = max(most, 1.0) / WANTED_MARKS
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= raw)


def _band(band: tuple[float, float], seconds: float) -> str:
    begin, end = (_x(at, seconds) for at in band)
    return (
        f'<rect class="band" x="{begin:.1f}" y="{TOP}"'
        f' width="{max(1.5, end - begin):.1f}" height="{BOTTOM - TOP}"/>'
    )


def _marks(step: float, top: float, seconds: float) -> Sequence[str]:
    found: list[str] = []
    for number in range(round(top / step) + 1):
        y = _y(number * step, top)
        found.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>')
        found.append(
            f'<text class="mark" x="{LEFT - 6}" y="{y + 4:.1f}"'
            f' text-anchor="end">{number * step:g}</text>'
        )
    every = _step(seconds / 2)
    for number in range(int(seconds / every) + 1):
        x = _x(number * every, seconds)
        found.append(
            f'<text class="mark" x="{x:.1f}" y="{HEIGHT - 8}"'
            f' text-anchor="middle">{number * every:g} s</text>'
        )
    return found


def _x(at: float, seconds: float) -> float:
    share = min(max(at / seconds, 0.0), 1.0)
    return LEFT + (RIGHT - LEFT) * share


def _y(value: float, top: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * value / top
