"""What a published table risks, from the sizes of its classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_EDGES = (1, 2, 3, 5, 10, 20, 50, 100, 500, 1_000, 10_000, 100_000)


@dataclass(frozen=True)
class Risk:
    """How likely a row's person is found, 0 to 1.

    With f the size of a class, n the rows, J the classes, and F the people
    in the population who would be in the class, the chance for a row is
    1 / f for an attacker who knows that the person is in the table
    (prosecutor) and 1 / F for one who does not (journalist); marketer is the
    share of rows that a match of the whole table gets right, the mean of
    1 / F. El Emam and Dankar, "Protecting privacy using k-anonymity", JAMIA
    15(5), 2008; El Emam, "Guide to the de-identification of personal health
    information", 2013, chapter 16. F is taken as f / ``sampling``: with
    ``sampling`` 1, the table is the population, and F = f.

    Attributes:
        prosecutor: The greatest 1 / f.
        prosecutor_mean: The mean of 1 / f over the rows: J / n.
        journalist: The greatest 1 / F.
        marketer: The mean of 1 / F over the rows.
    """

    prosecutor: float
    prosecutor_mean: float
    journalist: float
    marketer: float


def risk(sizes: npt.NDArray[np.int64], sampling: float = 1.0) -> Risk:
    """Return the risks of a table.

    Args:
        sizes: Rows of each class, one at least.
        sampling: The share of the population that is in the table.
    """
    highest = 1.0 / float(sizes.min())
    mean = len(sizes) / float(sizes.sum())
    return Risk(highest, mean, highest * sampling, mean * sampling)


@dataclass(frozen=True)
class Bar:
    """Classes whose size is ``least`` to ``most``, and the rows in them."""

    least: int
    most: int | None
    classes: int
    rows: int

    @property
    def label(self) -> str:
        """The sizes in words."""
        if self.most is None:
            return f"{self.least} and more"
        span = f"{self.least} to {self.most}"
        return span if self.most > self.least else str(self.least)


def histogram(sizes: npt.NDArray[np.int64]) -> Sequence[Bar]:
    """Return how many classes there are of which size."""
    place = np.searchsorted(_EDGES, sizes, side="right") - 1
    bars = []
    for i, least in enumerate(_EDGES):
        inside = sizes[place == i]
        most = _EDGES[i + 1] - 1 if i + 1 < len(_EDGES) else None
        if len(inside):
            bars.append(Bar(least, most, len(inside), int(inside.sum())))
    return bars
