"""The report is complete in itself, safe, and tells what was found."""

import base64
import hashlib
import json
import math
import re
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from moderate.workloads.matrix_profile import report
from moderate_tests.unit.workloads.samples import csv_of, power, report_of

EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What a browser would make of the report, in short."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self._open = "document"
        self.feed(text)

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        self._open = tag
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.setdefault(self._open, []).append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.tags if name == tag]


@cache
def year() -> str:
    values = power(35_040)
    values[5_000:5_040] = math.nan
    values[20_000:20_200] = 4.0
    return report_of(csv_of(values))


@cache
def page() -> Page:
    return Page(year())


def test_nothing_is_loaded_from_anywhere() -> None:
    for tag, attributes in page().tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), tag
    assert not re.search(r"url\((?!#)|@import", year())
    addresses = set(re.findall(r"https?://[^\s\"'<]+", year()))
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_the_address_and_its_signature_are_not_in_it() -> None:
    assert "X-Amz" not in year()
    assert "s3.example" not in year()


def test_the_policy_allows_the_one_script_and_nothing_else() -> None:
    policy = page().attributes("meta")[1]["content"]
    assert policy is not None
    script = year().split("<script>")[1].split("</script>")[0]
    digest = hashlib.sha256(script.encode()).digest()
    assert "default-src 'none'" in policy
    assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy


@pytest.mark.parametrize(
    "name", [EVIL, '"><img src=x onerror=alert(1)>', "a&b;'"]
)
def test_names_are_text_and_never_markup(name: str) -> None:
    text = report_of(csv_of(power(960), name), name, file=f"{name}.csv")
    found = Page(text)
    assert len(found.attributes("script")) == 2
    assert not found.attributes("img")
    assert found.text["h1"] == [name]
    assert not any(
        attribute.startswith("on")
        for _, attributes in found.tags
        for attribute in attributes
    )


def test_it_reads_without_scripts() -> None:
    paths = [found["d"] for found in page().attributes("path")]
    assert len(paths) == 3 + 2 * 6
    assert all(path and path.startswith("M") for path in paths)
    hidden = [a for tag, a in page().tags if "hidden" in a and tag != "span"]
    assert {found.get("id", "button") for found in hidden} == {
        "controls",
        "button",
    }


def test_motifs_discords_and_their_times_are_listed() -> None:
    text = year()
    for label in ("M1", "M2", "M3", "D1", "D2", "D3"):
        assert f'<span class="badge">{label}</span>' in text
    begins = re.findall(r"\w{3} \d\d \w{3} 2023 \d\d:\d\d", text)
    assert len(begins) >= 12


def test_window_quality_and_method_are_told() -> None:
    text = year()
    for words in (
        "1 day (96 values)",
        "natural rhythm of a building",
        "40 steps of 35,040 (0.1%) have no value, in 1 gap",
        "never change their value",
        "diagonal scan in double precision",
        "begin more than 24 steps apart",
        "√96",
    ):
        assert words in text


def test_it_can_be_used_without_seeing_or_pointing() -> None:
    """Language, headings in order, names of drawings and of buttons."""
    assert page().attributes("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page().tags if re.match(r"h\d", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    for drawing in page().attributes("svg"):
        assert drawing["role"] == "img"
        assert drawing.get("aria-label") or drawing.get("aria-labelledby")
    assert all(head["scope"] for head in page().attributes("th"))


@pytest.mark.parametrize("length", [131_072, 600_000])
def test_the_file_stays_small(length: int) -> None:
    """A profile is not needed for that; any numbers of this length are."""
    numbers = np.random.default_rng(1).normal(0, 1, length)
    packed = json.dumps([report._packed(numbers), report._packed(numbers)])
    assert len(packed) < 1_150_000
    assert len(year()) < 450_000


def test_packed_values_are_the_values() -> None:
    values = power(500)
    values[7] = math.nan
    packed = report._packed(values)
    levels = np.frombuffer(base64.b64decode(packed["lows"]), "<u2")
    assert (levels == 65_535).tolist() == np.isnan(values).tolist()
    width = packed["high"] - packed["low"]
    unpacked = packed["low"] + width * levels / 65_534
    known = np.isfinite(values)
    np.testing.assert_allclose(
        unpacked[known], values[known], atol=width / 65_534
    )


def test_grouped_values_keep_their_extremes() -> None:
    values = np.zeros(report.GROUPS * 3 - 1)
    values[1000], values[2001] = 5.0, -5.0
    packed = report._packed(values)
    lows, highs = (
        np.frombuffer(base64.b64decode(packed[name]), "<u2")
        for name in ("lows", "highs")
    )
    assert packed["group"] == 3
    assert lows.size == highs.size == report.GROUPS
    assert (highs[1000 // 3], lows[2001 // 3]) == (65_534, 0)


def test_rows_without_times_are_numbered() -> None:
    lines = ["power", *(str(value) for value in power(960))]
    text = report_of("\n".join(lines).encode())
    assert "row 1 \u2013 row 960" in text
    assert "No column with times" in text


def test_a_gap_is_never_rounded_away() -> None:
    values = power(35_040)
    values[17] = math.nan
    assert "99.9% have a value" in report_of(csv_of(values))
    assert "none is missing" in report_of(csv_of(power(960)))
