"""The changes of state that ``docs/architecture.md`` allows."""

import re
from pathlib import Path

import moderate

PAGE = Path(moderate.__file__).parents[1] / "docs" / "architecture.md"

Change = tuple[str, str]
_ROW = re.compile(r"^\| ([a-z]+) \| ([a-z]+) \| `(\w+)`", re.MULTILINE)


def documented() -> dict[str, set[Change]]:
    """Return the changes by the statement that makes them."""
    found: dict[str, set[Change]] = {}
    for was, now, statement in _ROW.findall(PAGE.read_text()):
        found.setdefault(statement, set()).add((was, now))
    return found


def all_documented() -> set[Change]:
    """Return all changes."""
    return set().union(*documented().values())
