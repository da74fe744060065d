"""The report works in a real browser, with scripts and without."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moderate_tests.unit.workloads.browser import Browser, chromium
from moderate_tests.unit.workloads.samples import csv_of, power, report_of

pytestmark = pytest.mark.browser

NAME = '<script>alert("power & heat")</script>'
LINE = "document.getElementById('series-line')"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = power(35_040)
    values[5_000:5_040] = math.nan
    values[20_000:20_200] = 4.0
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_of(csv_of(values, NAME), NAME))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def opened(browser: Browser, page: Path) -> Iterator[Browser]:
    browser.open(page)
    yield browser
    assert not browser.complaints()


def test_it_complains_of_nothing_and_asks_for_nothing(
    opened: Browser, page: Path
) -> None:
    opened.settle()
    assert not opened.complaints()
    asked = [url for url in opened.requests() if not url.startswith("data:")]
    assert asked == [page.as_uri()]


def test_a_foreign_script_would_not_run(opened: Browser) -> None:
    """The policy, not only the escaping, stands between."""
    opened.value(
        "(() => { const s = document.createElement('script');"
        "s.textContent = 'window.intruder = 1'; document.body.append(s); })()"
    )
    assert opened.value("window.intruder") is None
    assert opened.named("Log.entryAdded")
    opened.events.clear()


def test_the_plot_is_there(opened: Browser) -> None:
    for line in ("series", "profile"):
        box = opened.value(
            f"(() => {{ const b = document.getElementById('{line}-line')"
            ".getBBox(); return [b.x, b.y, b.width, b.height]; })()"
        )
        assert box[2] > 1000
        assert box[3] > 50
    assert opened.value("document.querySelectorAll('#marks rect').length") == 9
    assert opened.value("document.querySelector('h1').textContent") == NAME


def test_the_script_draws_what_the_server_drew(
    browser: Browser, page: Path
) -> None:
    """Both scale, break at gaps and mark the same; only pixels may differ."""
    drawn = []
    for scripts in (False, True):
        browser.open(page, scripts=scripts)
        drawn.append(_drawing(browser))
    without, with_script = drawn
    assert without["ticks"] == with_script["ticks"]
    assert without["marks"] == with_script["marks"]
    for line in ("series", "profile"):
        for a, b in zip(without[line], with_script[line], strict=True):
            assert a == pytest.approx(b, abs=3)


def _drawing(browser: Browser) -> dict[str, Any]:
    found: dict[str, Any] = browser.value(
        """(() => {
        const texts = (q) => [...document.querySelectorAll(q)]
            .map((e) => e.textContent.trim());
        const box = (id) => { const b = document.getElementById(id).getBBox();
            return [b.x, b.y, b.width, b.height]; };
        return {ticks: texts('.y text'), marks: texts('#marks text').sort(),
            series: box('series-line'), profile: box('profile-line')}; })()"""
    )
    return found


def test_without_scripts_no_dead_controls_are_shown(
    browser: Browser, page: Path
) -> None:
    visible = (
        "[...document.querySelectorAll('button')]"
        ".filter(b => b.offsetWidth).length"
    )
    browser.open(page, scripts=False)
    assert browser.value(visible) == 0
    browser.open(page)
    assert browser.value(visible) == 5 + 6


def _click(browser: Browser, selector: str) -> None:
    browser.value(f"document.querySelector('{selector}').click()")
    browser.settle()


def _line(browser: Browser) -> str:
    found: str = browser.value(f"{LINE}.getAttribute('d')")
    return found


def test_zooming_in_and_back(opened: Browser) -> None:
    whole = _line(opened)
    _click(opened, "[data-do=in]")
    half = _line(opened)
    assert half != whole
    _click(opened, "[data-do=right]")
    assert _line(opened) != half
    _click(opened, "[data-do=all]")
    assert _line(opened) == whole


def test_zooming_ends_at_single_values(opened: Browser) -> None:
    for _ in range(30):
        _click(opened, "[data-do=in]")
    assert 20 < _line(opened).count("L") < 60
    labels = opened.value(
        "[...document.querySelectorAll('#time-axis text')]"
        ".map(t => t.textContent)"
    )
    assert all(re.fullmatch(r"\d\d:\d\d|\d\d \w{3}", each) for each in labels)


def test_the_keyboard_moves_the_figure(opened: Browser) -> None:
    opened.value("document.getElementById('plot').focus()")
    whole = _line(opened)
    for key in ("+", "ArrowRight"):
        before = _line(opened)
        opened.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        opened.settle()
        assert _line(opened) != before
    opened.call("Input.dispatchKeyEvent", type="keyDown", key="0")
    opened.settle()
    assert _line(opened) == whole


def test_a_finding_is_shown_in_the_figure(opened: Browser) -> None:
    _click(opened, "[data-show]")
    places = opened.value(
        "[...document.querySelectorAll('#marks .motif rect')]"
        ".map(r => Number(r.getAttribute('width')))"
    )
    assert max(places) == pytest.approx(1120 / 7, rel=0.01)


def _place(browser: Browser, x: float, y: float) -> tuple[float, float]:
    """Turns a place of the drawing into one of the window."""
    box = browser.value(
        "(() => { const plot = document.getElementById('plot');"
        "plot.scrollIntoView({behavior: 'instant'});"
        "const b = plot.getBoundingClientRect();"
        "return [b.left, b.top, b.width / 1200]; })()"
    )
    return box[0] + x * box[2], box[1] + y * box[2]


def test_the_mouse_reads_time_value_and_distance(opened: Browser) -> None:
    opened.mouse("Moved", *_place(opened, 600, 150))
    opened.settle()
    said = opened.value("document.getElementById('readout').textContent")
    assert re.fullmatch(
        r"\w{3} \d\d \w{3} 2023 \d\d:\d\d · value [\d.]+ · distance [\d.]+",
        said,
    )


def test_a_period_is_chosen_in_the_strip_and_dragged(opened: Browser) -> None:
    opened.mouse("Pressed", *_place(opened, 300, 530), buttons=1)
    for x in (350, 400):
        opened.mouse("Moved", *_place(opened, x, 530), buttons=1)
    opened.mouse("Released", *_place(opened, 400, 530))
    opened.settle()
    strip = "Number(document.getElementById('view').getAttribute('%s'))"
    assert opened.value(strip % "x") == pytest.approx(300, abs=3)
    assert opened.value(strip % "width") == pytest.approx(100, abs=3)
    opened.mouse("Pressed", *_place(opened, 900, 150), buttons=1)
    opened.mouse("Moved", *_place(opened, 340, 150), buttons=1)
    opened.mouse("Released", *_place(opened, 340, 150))
    opened.settle()
    assert opened.value(strip % "x") == pytest.approx(350, abs=4)


def test_it_follows_the_dark_theme(opened: Browser) -> None:
    colours = []
    for theme in ("light", "dark"):
        opened.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": theme}],
        )
        colours.append(
            opened.value("getComputedStyle(document.body).backgroundColor")
        )
    opened.call("Emulation.setEmulatedMedia", features=[])
    light, dark = (
        sum(map(int, re.findall(r"\d+", colour))) for colour in colours
    )
    assert dark < 128
    assert light > 600


def test_nothing_overflows_on_a_phone(opened: Browser) -> None:
    opened.call(
        "Emulation.setDeviceMetricsOverride",
        width=390,
        height=800,
        deviceScaleFactor=2,
        mobile=True,
    )
    widths = opened.value("[document.documentElement.scrollWidth, innerWidth]")
    opened.call("Emulation.clearDeviceMetricsOverride")
    assert widths[0] <= widths[1]
