"""Generalisation hierarchies: what each value becomes at each level.

Level 0 is the value itself. A hierarchy is *nested*: values that are the
same at one level are the same at every higher one. The search relies on
that, so it is checked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from moderate.dataservices.encoding import Codes, Column
from moderate.dataservices.errors import DataError

TOP = "*"
"""What stands for any value at all."""

Generalise = Callable[[str], Sequence[str]]
"""Returns a value's text at the levels from 1 on.

It raises ``ValueError`` for a value that is outside the hierarchy.
"""


@dataclass(frozen=True)
class Hierarchy:
    """How the values of a column become coarser.

    Attributes:
        name: As a person would call it.
        generalise: See ``Generalise``; the same number of levels each time.
    """

    name: str
    generalise: Generalise


@dataclass(frozen=True)
class Level:
    """A column at one level.

    Attributes:
        codes: By the value's own code: the code of what it becomes.
        labels: Text by those codes; ``None``: null.
        loss: By the value's own code: the information lost, 0 to 1.
    """

    codes: Codes
    labels: tuple[str | None, ...]
    loss: npt.NDArray[np.float64]


def levels_of(column: Column, hierarchy: Hierarchy) -> tuple[Level, ...]:
    """Return a column's values at every level of a hierarchy.

    Null stays null at every level: a class of its own.

    Raises:
        DataError: A value is outside the hierarchy (names column and row,
            never the value), or the hierarchy is not nested.
    """
    texts = [_texts(column, hierarchy, code) for code in _codes(column)]
    depth = max(map(len, texts), default=1)
    rows = [row or (None,) * depth for row in texts]
    levels = [_level([row[i] for row in rows]) for i in range(depth)]
    for lower, upper in pairwise(levels):
        _refuse_unnested(column, hierarchy, lower, upper)
    return tuple(levels)


def _codes(column: Column) -> range:
    return range(len(column.values))


def _texts(
    column: Column, hierarchy: Hierarchy, code: int
) -> tuple[str | None, ...]:
    value = column.values[code]
    if value is None:
        return ()
    try:
        return (value, *hierarchy.generalise(value))
    except ValueError:
        row = int(np.argmax(column.codes == code)) + 1
        msg = (
            f"column {column.name!r}, row {row}: the value is outside the"
            f" hierarchy {hierarchy.name}"
        )
        raise DataError(msg) from None


def _level(texts: Sequence[str | None]) -> Level:
    """Number the texts of a level, and say what each one loses.

    The loss of a value is (leaves under what it becomes - 1) / (leaves - 1),
    leaves being the values that occur in the data: Iyengar, "Transforming
    data to satisfy privacy constraints", KDD 2002, section 3, equation for
    categorical columns.
    """
    labels = tuple(dict.fromkeys(texts))
    numbers = {text: number for number, text in enumerate(labels)}
    codes = np.array([numbers[text] for text in texts], dtype=np.int32)
    leaves = len(texts) - texts.count(None)
    under = np.bincount(codes, minlength=1)[codes] - 1
    loss = under / max(leaves - 1, 1)
    return Level(codes, labels, loss.astype(np.float64))


def _refuse_unnested(
    column: Column, hierarchy: Hierarchy, lower: Level, upper: Level
) -> None:
    pairs = np.unique(np.stack([lower.codes, upper.codes]), axis=1)
    if pairs.shape[1] > len(lower.labels):
        msg = (
            f"column {column.name!r}: the hierarchy {hierarchy.name} is not"
            " nested: values that are one at a level part at a higher one"
        )
        raise DataError(msg)
