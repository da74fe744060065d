"""The named statements of ``sql/queries.sql``."""

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

from psycopg.sql import SQL

_BLOCK = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def statements() -> dict[str, SQL]:
    """Return every statement by its name."""
    text = files("moderate.inbox").joinpath("sql/queries.sql").read_text()
    _, *parts = _BLOCK.split(text)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    # The text is our own file; the type wants a literal against injection.
    return {
        name: SQL(cast("LiteralString", body.strip())) for name, body in pairs
    }


def statement(name: str) -> SQL:
    """Return one statement.

    Raises:
        KeyError: There is none of that name.
    """
    return statements()[name]
