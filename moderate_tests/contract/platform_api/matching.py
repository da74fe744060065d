"""Compares an answer with what a case expects of it.

Expected JSON is compared exactly, keys included, except for these texts:
``<any>``, ``<int>``, ``<text>``, ``<time>`` (naive, no zone), ``<uuid>``,
``<each:NAME>`` (a list whose items have the shape NAME of
``cases/shapes.json``), ``<shape:NAME>``, and ``re:PATTERN`` for a text.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

CASES = Path(__file__).with_name("cases")
PATTERNS = {
    "<text>": ".*",
    "<time>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?",
    "<uuid>": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}


@cache
def shapes() -> dict[str, Any]:
    """The shapes by name."""
    text = (CASES / "shapes.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def differences(expected: Any, actual: Any, where: str = "$") -> Iterator[str]:
    """Yield, in words, where ``actual`` is not as expected."""
    if isinstance(expected, str) and expected.startswith(("<", "re:")):
        yield from _special(expected, actual, where)
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted(expected.keys() ^ actual.keys()):
            side = "missing" if key in expected else "not expected"
            yield f"{where}.{key} is {side}"
        for key in sorted(expected.keys() & actual.keys()):
            yield from differences(
                expected[key], actual[key], f"{where}.{key}"
            )
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{where} has {len(actual)} items, not {len(expected)}"
        for number, pair in enumerate(zip(expected, actual, strict=False)):
            yield from differences(*pair, f"{where}[{number}]")
    elif type(expected) is not type(actual) or expected != actual:
        yield f"{where} is {actual!r}, not {expected!r}"


def _special(expected: str, actual: Any, where: str) -> Iterator[str]:
    kind, _, name = expected.strip("<>").partition(":")
    if kind == "shape":
        yield from differences(shapes()[name], actual, where)
    elif kind == "each" and isinstance(actual, list):
        for number, item in enumerate(actual):
            yield from differences(shapes()[name], item, f"{where}[{number}]")
    elif expected == "<int>" and type(actual) is int:
        return
    elif expected != "<any>" and not _fits(expected, actual):
        yield f"{where} is {actual!r}, not {expected}"


def _fits(expected: str, actual: Any) -> bool:
    pattern = PATTERNS.get(expected, expected.removeprefix("re:"))
    return isinstance(actual, str) and bool(
        re.fullmatch(pattern, actual, re.DOTALL)
    )
