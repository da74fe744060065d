"""What benchmarks found is kept suite by suite."""

import json
from pathlib import Path

from benchmarks.report import (
    JSON_NAME,
    MARKDOWN_NAME,
    Measurement,
    Row,
    Suite,
    keep,
    measured,
    read,
)

ORDER = ("quick", "slow")


def found(suite: str, figure: str) -> Measurement:
    row = Row("what", figure, "1 s", "stock: 2 s")
    return Measurement(
        suite, "2 cores", "abc", "2026-01-01T00:00+00:00", (row,)
    )


def test_a_suite_takes_the_place_of_its_own_figures_alone(
    tmp_path: Path,
) -> None:
    keep(tmp_path, found("slow", "9 s"), ORDER)
    keep(tmp_path, found("quick", "0.5 s"), ORDER)
    keep(tmp_path, found("quick", "0.4 s"), ORDER)
    assert read(tmp_path) == {
        "quick": found("quick", "0.4 s"),
        "slow": found("slow", "9 s"),
    }
    table = (tmp_path / MARKDOWN_NAME).read_text()
    assert table.index("0.4 s") < table.index("9 s")
    assert "0.5 s" not in table


def test_json_says_what_was_measured_where(tmp_path: Path) -> None:
    suite = Suite("quick", lambda: [Row("what", "0.4 s", "1 s")])
    keep(tmp_path, measured(suite), ORDER)
    (kept,) = json.loads((tmp_path / JSON_NAME).read_text())
    assert kept["rows"][0]["measured"] == "0.4 s"
    assert "cores" in kept["machine"]
    assert kept["commit"]
    assert kept["at"].endswith("+00:00")
