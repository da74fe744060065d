"""Recorded exchanges: read from files, replayed, and compared.

A recording is one exchange a line: ``method``, ``path``, ``query``,
``request_headers`` and ``request_body``; ``status``, ``response_headers`` and
``response_body``; ``case`` where it has a label. In those that lie beside this
file, references to other entities, which repeat, are folded: ``{"@": name}``
stands for what ``references.json`` has under that name.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recordings"
REFERENCES = FOLDER / "references.json"
FOLD = "@"
# Values that every server makes up anew.
VOLATILE = frozenset(
    {"id", "_id", "updatedAt", "href", "timestamp", "revision", "took"}
)
#: Parts of messages that need not agree: a place in the source, the names of
#: a model's fields, a state of an entity.
VAGUE = re.compile(
    r"line: \d+, column: \d+|\d+ known properties: [^)]*|\"[0-9a-f]{16}\""
)


@dataclass(frozen=True)
class Exchange:
    """A request and what was answered."""

    method: str
    path: str
    status: int
    query: str = ""
    request_body: Any = None
    request_headers: Mapping[str, str] = field(default_factory=dict)
    response_body: Any = None
    response_headers: Mapping[str, str] = field(default_factory=dict)
    case: str = ""
    anonymous: bool = False

    def __str__(self) -> str:
        """What it is called in a failed test."""
        return self.case or f"{self.method} {self.path}?{self.query}"


def read(file: Path) -> list[Exchange]:
    """Read a recording."""
    references = json.loads(REFERENCES.read_text())

    def unfold(found: dict[str, Any]) -> Any:
        return references[found[FOLD]] if found.keys() == {FOLD} else found

    return [
        _exchange(json.loads(line, object_hook=unfold))
        for line in file.read_text().splitlines()
    ]


def _exchange(found: dict[str, Any]) -> Exchange:
    names = Exchange.__dataclass_fields__
    headers = found.get("request_headers", {})
    # Complete recordings have all headers, and note no absence.
    if headers and "user-agent" in headers:
        found["anonymous"] = "authorization" not in headers
    return Exchange(**{key: found[key] for key in found if key in names})


def differences(
    told: Any, expected: Any, ids: dict[str, str], place: str = ""
) -> Iterator[str]:
    """Say where an answer differs from the recorded one.

    Args:
        told: The answer.
        expected: What was recorded.
        ids: By the recorded id, the one that it has here; is filled.
        place: Where we are.
    """
    if isinstance(expected, dict) and isinstance(told, dict):
        for key in sorted(expected.keys() - told.keys()):
            yield f"{place}.{key} is missing"
        for key in sorted(told.keys() - expected.keys()):
            yield f"{place}.{key} is too much"
        for key in sorted(told.keys() & expected.keys()):
            here = f"{place}.{key}"
            yield from differences(told[key], expected[key], ids, here)
    elif isinstance(expected, list) and isinstance(told, list):
        yield from _differing_lists(told, expected, ids, place)
    elif type(told) is not type(expected):
        yield f"{place} is a {type(told).__name__}: {told!r}"
    elif _last(place) == "id":
        ids[expected] = told
    elif _last(place) not in VOLATILE and _clear(told) != _clear(expected):
        yield f"{place} is {told!r}, not {expected!r}"


def _differing_lists(
    told: list[Any], expected: list[Any], ids: dict[str, str], place: str
) -> Iterator[str]:
    if _last(place) == "fqnParts":
        told, expected = sorted(told), sorted(expected)
    if len(told) != len(expected):
        yield f"{place} has {len(told)} entries, not {len(expected)}"
    for number, (one, other) in enumerate(zip(told, expected, strict=False)):
        yield from differences(one, other, ids, f"{place}[{number}]")


def _last(place: str) -> str:
    return place.rpartition(".")[2].partition("[")[0]


def _clear(value: Any) -> Any:
    return VAGUE.sub("", value) if isinstance(value, str) else value
