"""The table that a benchmark prints, with the machine's facts."""

import math
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: What was measured.
        measured: The figure, with its unit.
        to_reach: What it was meant to be.
        known: What others need for the same.
    """

    what: str
    measured: str
    to_reach: str
    known: str = ""


@dataclass(frozen=True)
class Suite:
    """Some figures that are measured together."""

    name: str
    measure: Callable[[], Sequence[Row]]


def machine() -> str:
    """Say what was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({_cpu()}), {memory / 2**30:.0f} GiB,"
        f" {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, load {load:.1f} at the start"
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def spread(seconds: Sequence[float], digits: int = 3) -> str:
    """Say median and range of some times."""
    return (
        f"{statistics.median(seconds):.{digits}f} s"
        f" ({min(seconds):.{digits}f} to {max(seconds):.{digits}f})"
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that ``share`` (0 to 1) of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def markdown(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table."""
    lines = ["| what | measured | to reach | known |", "|---|---|---|---|"]
    lines += [
        f"| {row.what} | **{row.measured}** | {row.to_reach} | {row.known} |"
        for row in rows
    ]
    return "\n".join(lines)
