"""Reads numbers as people and meters write them."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.notes import Note, count

# How many values are looked at to learn the decimal mark.
SAMPLE = 2_000
# How much of an unreadable value is shown.
SHOWN = 30

# How people and programs write that there is no value, in lower case.
_MISSING = frozenset(
    (
        *("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "missing"),
        *("-", "--", "---", "?", ".", "\\n", "#value!", "#div/0!", "#ref!"),
        *("inf", "+inf", "-inf", "infinity", "-infinity", "bad", "error"),
    )
)
_SPACES = re.compile(r"[\s'\u2019\u00a0\u202f]")
_BY_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+")


@dataclass(frozen=True)
class DecimalMark:
    """How a column writes its numbers.

    Attributes:
        mark: What stands before the decimals.
        groups: What stands between thousands; empty if nothing does.
    """

    mark: str
    groups: str


def parse_values(
    texts: Sequence[str], name: str, *, delimiter: str = ""
) -> tuple[NDArray[np.float64], tuple[Note, ...]]:
    """Reads a column of numbers.

    Args:
        texts: The cells.
        name: The column's name, for messages.
        delimiter: What separates the table's cells; where it is a comma, a
            comma within a number is more likely to group thousands.

    Returns:
        The numbers, NaN where a cell is empty, infinite or not a number; and
        what the reader should know.

    Raises:
        InputError: The column holds no numbers, or mostly other things.
    """
    mark = _decimal_mark(texts, comma_separated=delimiter == ",")
    values = np.empty(len(texts))
    strange: Counter[str] = Counter()
    for row, text in enumerate(texts):
        number = _number(text, mark)
        if number is None:
            strange[text.strip()[:SHOWN]] += 1
            number = float("nan")
        values[row] = number
    infinite = np.isinf(values)
    values[infinite] = np.nan
    numbers = int(np.isfinite(values).sum())
    if not numbers:
        raise InputError(f"the column “{_short(name)}” holds no numbers")
    if strange.total() > numbers:
        raise InputError(
            f"the column “{_short(name)}” does not hold numbers but text, "
            f"such as “{strange.most_common(1)[0][0]}”"
        )
    return values, _notes(strange, mark)


def _notes(strange: Counter[str], mark: DecimalMark) -> tuple[Note, ...]:
    notes = []
    if strange:
        example = strange.most_common(1)[0][0]
        text = (
            f"{count(strange.total(), 'value')} could not be read as a "
            f"number (such as “{example}”) and became missing."
        )
        notes.append(Note(text, "warning"))
    if mark.mark == ",":
        notes.append(Note("Numbers were read with a decimal comma."))
    elif mark.groups == ",":
        text = "Commas in numbers were read as separators of thousands."
        notes.append(Note(text))
    return tuple(notes)


def _number(text: str, mark: DecimalMark) -> float | None:
    """Reads one cell; NaN if it is empty, ``None`` if it is no number."""
    try:
        if mark.mark == "." and not mark.groups and "_" not in text:
            return float(text)
    except ValueError:
        pass
    if text.strip().lower() in _MISSING:
        return float("nan")
    plain = _SPACES.sub("", text)
    if mark.groups:
        plain = plain.replace(mark.groups, "")
    if mark.mark == ",":
        plain = plain.replace(",", ".")
    try:
        return None if "_" in plain else float(plain)
    except ValueError:
        return None


def _decimal_mark(
    texts: Sequence[str], *, comma_separated: bool
) -> DecimalMark:
    """Learns from a sample whether 1.234 and 1,234 are large or small."""
    sample = [
        _SPACES.sub("", text)
        for text in texts[:SAMPLE]
        if any(digit in text for digit in "0123456789")
    ]
    commas = [text for text in sample if "," in text]
    if not commas:
        many = any(text.count(".") > 1 for text in sample)
        return DecimalMark(",", ".") if many else DecimalMark(".", "")
    both = [text for text in commas if "." in text]
    if both:
        comma_last = sum(t.rfind(",") > t.rfind(".") for t in both)
        return (
            DecimalMark(",", ".")
            if comma_last * 2 > len(both)
            else DecimalMark(".", ",")
        )
    grouped = all(_BY_THOUSANDS.fullmatch(text) for text in commas)
    several = any(text.count(",") > 1 for text in commas)
    if several or (grouped and comma_separated):
        return DecimalMark(".", ",")
    return DecimalMark(",", ".")


def _short(name: str) -> str:
    return name if len(name) <= SHOWN * 2 else name[: SHOWN * 2] + "…"
