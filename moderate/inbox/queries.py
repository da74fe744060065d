"""The named statements of ``sql/*.sql``."""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import LiteralString

from psycopg.sql import SQL

FILES = ("queries.sql", "warm_runs.sql")
_BLOCK = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def statements() -> dict[str, SQL]:
    """Return every statement by its name."""
    pairs = [pair for name in FILES for pair in _blocks(name)]
    return {name: SQL(body) for name, body in pairs}


def _blocks(file: str) -> Iterator[tuple[str, LiteralString]]:
    text = files("moderate.inbox").joinpath("sql", file).read_text()
    _, *parts = _BLOCK.split(text)
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        # It is our own file; the type wants a literal against injection.
        yield name, body.strip()


def statement(name: str) -> SQL:
    """Return one statement.

    Raises:
        KeyError: There is none of that name.
    """
    return statements()[name]
