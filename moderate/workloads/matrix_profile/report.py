"""The report: one HTML file that needs nothing else and asks for nothing.

Everything that comes from outside passes through Jinja's escaping. The only
script is the template's own; a content security policy names its hash, so
that even a fault in the escaping could run no other. Without scripts the
report is complete, only not zoomable.
"""

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from moderate.workloads.matrix_profile import chart
from moderate.workloads.matrix_profile.analysis import Analysis
from moderate.workloads.matrix_profile.findings import Finding, Findings
from moderate.workloads.matrix_profile.kernel import ENGINE
from moderate.workloads.matrix_profile.profile import exclusion_zone
from moderate.workloads.matrix_profile.series import duration_text

TEMPLATE = "report.html"

# The drawing's geometry, in units of the SVG's view box.
WIDTH, HEIGHT = 1200, 560
SERIES_BOX = chart.Box(64, 34, 1120, 250)
PROFILE_BOX = chart.Box(64, 318, 1120, 150)
OVERVIEW_BOX = chart.Box(64, 508, 1120, 40)
NARROWEST_BAND = 2.5
LABEL_WIDTH = 26
LAST_LABEL = 1168
MINI_BOX = chart.Box(4, 6, 312, 96)

# More values than this travel as lows and highs of so many groups, so that a
# file stays below 1.5 MB.
DETAILED = 131_072
GROUPS = 98_304
# Values travel as 16-bit numbers: the highest one means missing.
_LEVELS = 65_534
_MISSING = 65_535

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True)
class Subject:
    """What the report is about.

    Attributes:
        file: The file's name, without address and signature.
        variable: The analysed column.
        table: The file's kind and layout in words.
        time_column: Name of the column with the times; may be empty.
        created: When the analysis ran.
    """

    file: str
    variable: str
    table: str
    time_column: str
    created: datetime


def render(subject: Subject, analysis: Analysis) -> bytes:
    """Writes the report.

    Args:
        subject: What it is about.
        analysis: What it tells.

    Returns:
        The HTML file, in UTF-8.
    """
    source = (
        resources.files("moderate.workloads.matrix_profile") / TEMPLATE
    ).read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.from_string(source).render(
        subject=subject,
        analysis=analysis,
        policy=_policy(source),
        figure=_figure(analysis),
        data=_data(analysis),
        facts=_facts(analysis),
        motifs=[
            _card(analysis, f, f"M{i}")
            for i, f in enumerate(analysis.findings.motifs, 1)
        ],
        discords=[
            _card(analysis, f, f"D{i}")
            for i, f in enumerate(analysis.findings.discords, 1)
        ],
        zone=exclusion_zone(analysis.window.points),
        engine=ENGINE,
        created=subject.created.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    return page.encode("utf-8")


def _policy(source: str) -> str:
    """Allows the template's own script and nothing else."""
    scripts = _SCRIPT.findall(source)
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in scripts
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src {allowed}; base-uri 'none'; form-action 'none'"
    )


def _facts(analysis: Analysis) -> dict[str, Any]:
    series = analysis.series
    known = series.values[np.isfinite(series.values)]
    last = series.values.size - 1
    step = (
        "one row" if series.step_us is None else duration_text(series.step_us)
    )
    return {
        "begin": series.time_text(0, day=False),
        "end": series.time_text(last, day=False),
        "step": step,
        "steps": f"{series.values.size:,}",
        "coverage": _coverage(known.size, series.values.size),
        "mean": f"{known.mean():.4g}",
        "low": f"{known.min():.4g}",
        "high": f"{known.max():.4g}",
        "compared": f"{(analysis.profile.neighbour >= 0).sum():,}",
        "windows": f"{analysis.profile.distance.size:,}",
    }


def _coverage(known: int, steps: int) -> str:
    if known == steps:
        return "none is missing"
    # Rounded down: 100.0 % must not hide a gap.
    return f"{math.floor(1000 * known / steps) / 10}% have a value"


def _figure(analysis: Analysis) -> dict[str, Any]:
    """Draws series and profile over one axis, with the findings marked."""
    series, distance = analysis.series, analysis.profile.distance
    span = series.values.size
    values_scale = chart.value_scale(series.values)
    profile_scale = chart.value_scale(np.append(distance, 0.0), 3)
    overview_scale = chart.value_scale(series.values)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "last_label": LAST_LABEL,
        "series": SERIES_BOX,
        "profile": PROFILE_BOX,
        "overview": OVERVIEW_BOX,
        "series_path": chart.line_path(
            series.values, SERIES_BOX, values_scale, span=span
        ),
        "profile_path": chart.line_path(
            distance, PROFILE_BOX, profile_scale, span=span
        ),
        "overview_path": chart.line_path(
            series.values, OVERVIEW_BOX, overview_scale, span=span
        ),
        "series_ticks": chart.value_ticks(SERIES_BOX, values_scale),
        "profile_ticks": chart.value_ticks(PROFILE_BOX, profile_scale),
        "time_ticks": chart.position_ticks(series, PROFILE_BOX),
        "bands": _bands(analysis),
    }


def _bands(analysis: Analysis) -> list[dict[str, Any]]:
    """Places the marks, with labels that do not cover each other."""
    unit = SERIES_BOX.width / analysis.series.values.size
    width = max(NARROWEST_BAND, unit * analysis.window.points)
    ends = {"motif": -math.inf, "discord": -math.inf}
    bands = []
    for mark in _marks(analysis.findings):
        x = SERIES_BOX.left + unit * mark["at"]
        label_x = max(x + width / 2, ends[mark["kind"]] + LABEL_WIDTH)
        ends[mark["kind"]] = label_x
        bands.append({**mark, "x": x, "width": width, "label_x": label_x})
    return bands


def _marks(findings: Findings) -> Sequence[dict[str, Any]]:
    marks: list[dict[str, Any]] = []
    for number, motif in enumerate(findings.motifs, 1):
        label = {"label": f"M{number}", "kind": "motif"}
        marks += [{"at": motif.window, **label}, {"at": motif.match, **label}]
    for number, discord in enumerate(findings.discords, 1):
        label = {"label": f"D{number}", "kind": "discord"}
        marks.append({"at": discord.window, **label})
    return sorted(marks, key=lambda mark: mark["at"])


def _card(analysis: Analysis, finding: Finding, label: str) -> dict[str, Any]:
    """Tells one motif or discord: times, levels, and a small overlay."""
    m = analysis.window.points
    places = [finding.window, finding.match]
    if label.startswith("M"):
        places.sort()
    shapes = [_shape(analysis.series.values[at : at + m]) for at in places]
    scale = chart.value_scale(np.concatenate(shapes))
    return {
        "label": label,
        "places": [_place(analysis, at) for at in places],
        "paths": [
            chart.line_path(shape, MINI_BOX, scale, span=m) for shape in shapes
        ],
        "distance": f"{finding.distance:.3g}",
        "lonely": finding.by_definition,
        "alike": _alike(finding),
        "verdict": _verdict(finding),
        "at": finding.window,
    }


def _place(analysis: Analysis, at: int) -> dict[str, Any]:
    m = analysis.window.points
    part = analysis.series.values[at : at + m]
    return {
        "at": at,
        "begin": analysis.series.time_text(at),
        "end": analysis.series.time_text(at + m - 1),
        "mean": f"{part.mean():.4g}",
        "low": f"{part.min():.4g}",
        "high": f"{part.max():.4g}",
    }


def _shape(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Takes level and size away, as the comparison does."""
    size = float(part.std())
    return (part - part.mean()) / size if size else np.zeros_like(part)


def _alike(finding: Finding) -> str:
    """Writes the correlation; only what is the same is 100 % alike."""
    if finding.by_definition:
        return "nothing like it"
    share = max(0.0, finding.correlation)
    if share < 0.99:
        return f"{share:.0%} alike"
    tenths = 1000 if not finding.distance else min(999, round(share * 1000))
    return f"{tenths / 10:g}% alike"


def _verdict(finding: Finding) -> str:
    if finding.by_definition:
        return "like nothing else"
    for bound, words in (
        (0.98, "practically the same shape"),
        (0.9, "a very similar shape"),
        (0.7, "a similar shape"),
        (0.4, "only a distant likeness"),
    ):
        if finding.correlation >= bound:
            return words
    return "hardly any likeness"


def _data(analysis: Analysis) -> dict[str, Any]:
    """Packs what the script needs to redraw the figure at any zoom."""
    series = analysis.series
    return {
        "start": None if series.start_us is None else series.start_us / 1000,
        "step": None if series.step_us is None else series.step_us / 1000,
        "count": series.values.size,
        "window": analysis.window.points,
        "series": _packed(series.values),
        "profile": _packed(analysis.profile.distance),
        "marks": _marks(analysis.findings),
    }


def _packed(values: NDArray[np.float64]) -> dict[str, Any]:
    """Packs values as 16-bit numbers in base64, in groups if they are many.

    Returns:
        ``low`` and ``high`` of the range, ``group`` (how many values stand
        for one entry), ``lows`` and, if groups are larger than 1, ``highs``.
    """
    finite = values[np.isfinite(values)]
    low, high = (
        (float(finite.min()), float(finite.max())) if finite.size else (0, 0)
    )
    group = 1 if values.size <= DETAILED else -(-values.size // GROUPS)
    packed: dict[str, Any] = {"low": low, "high": high, "group": group}
    if group == 1:
        packed["lows"] = _encoded(values, low, high)
        return packed
    padding = -values.size % group
    padded = np.append(values, np.full(padding, np.nan)).reshape(-1, group)
    empty = ~np.isfinite(padded).any(axis=1)
    known_low = np.where(np.isfinite(padded), padded, np.inf).min(axis=1)
    known_high = np.where(np.isfinite(padded), padded, -np.inf).max(axis=1)
    known_low[empty] = known_high[empty] = np.nan
    packed["lows"] = _encoded(known_low, low, high)
    packed["highs"] = _encoded(known_high, low, high)
    return packed


def _encoded(values: NDArray[np.float64], low: float, high: float) -> str:
    width = (high - low) or 1.0
    levels = np.full(values.size, _MISSING, dtype="<u2")
    known = np.isfinite(values)
    levels[known] = np.rint((values[known] - low) / width * _LEVELS)
    return base64.b64encode(levels.tobytes()).decode("ascii")
