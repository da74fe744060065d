"""What benchmarks found: a table to read, and JSON to compare."""

import json
import math
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

JSON_NAME, MARKDOWN_NAME = "bench.json", "bench.md"


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


@dataclass(frozen=True)
class Measurement:
    """What one suite found, and where.

    Attributes:
        suite: The suite's name.
        machine: Processors, memory, system, and the load at its start: the
            figures of a busy machine say less.
        commit: The code that was measured.
        at: When it ended, in UTC.
        rows: The figures.
    """

    suite: str
    machine: str
    commit: str
    at: str
    rows: tuple[Row, ...]


def measured(suite: Suite) -> Measurement:
    """Measure a suite."""
    on = machine()
    rows = tuple(suite.measure())
    at = datetime.now(UTC).isoformat(timespec="minutes")
    return Measurement(suite.name, on, _commit(), at, rows)


def _commit() -> str:
    """Say what is measured; an unpacked archive has no repository."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        check=False,
        capture_output=True,
        text=True,
    )
    return said.stdout.strip() or "unknown"


def keep(folder: Path, found: Measurement, order: Sequence[str]) -> None:
    """Write a suite's figures beside those of the others.

    Args:
        folder: Where the table and the JSON are.
        found: What takes the place of that suite's earlier figures.
        order: The suites' names, as the table has them.
    """
    kept = {**read(folder), found.suite: found}
    all_of_them = [kept[name] for name in order if name in kept]
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps([asdict(each) for each in all_of_them], indent=2)
    (folder / JSON_NAME).write_text(content + "\n")
    (folder / MARKDOWN_NAME).write_text(page(all_of_them))


def read(folder: Path) -> Mapping[str, Measurement]:
    """Return the measurements that a folder has, by suite."""
    file = folder / JSON_NAME
    found = json.loads(file.read_text()) if file.exists() else []
    return {
        each["suite"]: Measurement(
            **each | {"rows": tuple(Row(**row) for row in each["rows"])}
        )
        for each in found
    }


def page(found: Sequence[Measurement]) -> str:
    """Return all figures as a Markdown page."""
    rows = [row for each in found for row in each.rows]
    return (
        "# Bench\n\nWritten by `./scripts/task bench`; what the figures mean:"
        " [performance](../performance.md).\n\n"
        f"{markdown(rows)}\n\n## Measured on\n\n"
        "| suite | machine | commit | at (UTC) |\n|---|---|---|---|\n"
    ) + "".join(
        f"| {each.suite} | {each.machine} | {each.commit} | {each.at} |\n"
        for each in found
    )


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
