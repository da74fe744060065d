"""The first rows of a table, personal values masked."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from moderate.dataservices.encoding import as_text
from moderate.dataservices.tables import Table

LONGEST = 40
MAX_ROWS = 100
_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True)
class Preview:
    """Some rows as text; ``None``: null."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: Sequence[Sequence[str | None]]


def masked(value: str) -> str:
    """Return only the shape of a value: letters are x, digits 9."""
    return _DIGIT.sub("9", _LETTER.sub("x", value[:LONGEST]))


def preview(
    table: Table, rows: int, *, mask: bool, shown: Collection[str] = ()
) -> Preview:
    """Return the first rows.

    Args:
        table: What to show.
        rows: How many, ``MAX_ROWS`` at the most.
        mask: Whether to show values by their shape only.
        shown: Columns that are not masked, beside those that are safe.

    Raises:
        DataError: The file is broken.
    """
    clear = table.safe | set(shown) if mask else set(table.columns)
    wanted = min(rows, MAX_ROWS)
    columns: list[list[str | None]] = [[] for _ in table.columns]
    for batch in table.batches():
        for name, held in zip(table.columns, columns, strict=True):
            column = batch.column(name).slice(0, wanted - len(held))
            held += [_shown(v, name in clear) for v in _texts(column)]
        if len(columns[0]) >= wanted:
            break
    return Preview(
        table.columns,
        tuple(str(field.type) for field in table.schema()),
        list(zip(*columns, strict=True)),
    )


def _texts(column: object) -> Sequence[str | None]:
    texts: Sequence[str | None] = as_text(column).to_pylist()
    return texts


def _shown(value: str | None, is_clear: bool) -> str | None:  # noqa: FBT001
    if value is None:
        return None
    return value[:LONGEST] if is_clear else masked(value)
