"""k-anonymity, l-diversity and t-closeness, as the search asks for them.

A rule looks at the classes of a generalised table (rows with the same values
in all quasi-identifiers) and says which must go. All of them work on counts,
never on rows.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from moderate.dataservices.encoding import Codes, Counts, Mask

Floats = npt.NDArray[np.float64]

TOLERANCE = 1e-9
"""Of sums of floating-point shares."""


@dataclass(frozen=True)
class Classes:
    """The classes of a generalised table.

    Attributes:
        sizes: Rows in each class.
        owner: Of each pair of class and sensitive value: the class.
        value: Its sensitive value's code; sorted within the class.
        counts: Its rows.
    """

    sizes: Counts
    owner: Counts
    value: Counts
    counts: Counts

    def sums(self, amounts: Floats) -> Floats:
        """Add up an amount of each pair by class."""
        if not len(self.owner):
            return np.zeros(len(self.sizes))
        sums: Floats = np.bincount(
            self.owner, weights=amounts, minlength=len(self.sizes)
        ).astype(np.float64)
        return sums


class Rule(Protocol):
    """What every class must fulfil."""

    needs_sensitive: bool
    """Whether ``Classes`` must hold pairs."""

    def is_monotone(self, limit: int) -> bool:
        """Say whether generalising further never costs more rows.

        Args:
            limit: How many rows may be suppressed.
        """

    def failing(self, classes: Classes) -> Mask:
        """Say which classes must be suppressed."""


@dataclass(frozen=True)
class KAnonymity:
    """Every class has ``k`` rows or more.

    Sweeney, "k-anonymity: a model for protecting privacy", 2002.
    """

    k: int
    needs_sensitive = False

    def is_monotone(self, limit: int) -> bool:  # noqa: ARG002  # as Rule
        """Classes only grow."""
        return True

    def failing(self, classes: Classes) -> Mask:
        """Say which classes are too small."""
        return classes.sizes < self.k


class Diversity(StrEnum):
    """What counts as diverse."""

    DISTINCT = "distinct"
    ENTROPY = "entropy"


@dataclass(frozen=True)
class LDiversity:
    """Every class has ``l`` sensitive values, beside ``k`` rows.

    Distinct: ``l`` different values. Entropy: the exponential of the class's
    entropy is ``l`` or more. Machanavajjhala et al., "l-diversity: privacy
    beyond k-anonymity", 2007, definitions 3.2 and 4.1.
    """

    k: int
    l: float  # noqa: E741  # the literature's name
    diversity: Diversity = Diversity.DISTINCT
    needs_sensitive = True

    def is_monotone(self, limit: int) -> bool:
        """Entropy falls when a class takes in one that was suppressed."""
        return self.diversity is Diversity.DISTINCT or limit == 0

    def failing(self, classes: Classes) -> Mask:
        """Say which classes are too small or too uniform."""
        reached = (
            classes.sums(np.ones(len(classes.owner)))
            if self.diversity is Diversity.DISTINCT
            else np.exp(_entropy(classes))
        )
        return (classes.sizes < self.k) | (reached < self.l - TOLERANCE)


def _entropy(classes: Classes) -> Floats:
    shares = classes.counts / classes.sizes[classes.owner]
    return classes.sums(-shares * np.log(shares))


class Distance(StrEnum):
    """How far two values are from each other."""

    ORDERED = "ordered"
    EQUAL = "equal"


@dataclass(frozen=True)
class TCloseness:
    """Each class's sensitive values are spread as the whole output's.

    The earth mover's distance of the two is ``t`` or less. Li et al.,
    "t-closeness: privacy beyond k-anonymity and l-diversity", 2007, section
    4: ordered distance for numbers, equal distance for categories. The
    output is what is published, so that is what each class is compared to:
    once a class is suppressed all others are looked at again. An output in
    which one value is left would tell it of everybody: all of it fails.

    Attributes:
        k: Least rows of a class.
        t: Greatest distance, 0 to 1.
        distance: Of two values.
        rank: By code of a sensitive value: its place among all.
    """

    k: int
    t: float
    distance: Distance
    rank: Codes
    needs_sensitive = True

    def is_monotone(self, limit: int) -> bool:
        """A mixture is no farther than its parts, if nothing goes."""
        return limit == 0

    def failing(self, classes: Classes) -> Mask:
        """Say which classes are too small or too far."""
        gone: Mask = classes.sizes < self.k
        while not gone.all():
            far: Mask = ~gone & (self._distances(classes, gone) > self.t)
            if not far.any():
                break
            gone = gone | far
        left = self.rank[classes.value[~gone[classes.owner]]]
        is_one = bool((left == left[:1]).all())
        return np.ones_like(gone) if is_one else gone

    def _distances(self, classes: Classes, gone: Mask) -> Floats:
        """Return the distance of each class that is not gone."""
        stays = ~gone[classes.owner]
        left = Classes(
            classes.sizes,
            classes.owner[stays],
            self.rank[classes.value[stays]].astype(np.int64),
            classes.counts[stays],
        )
        overall = np.bincount(left.value, weights=left.counts)
        whole = overall[overall > 0] / overall.sum()
        place = np.cumsum(overall > 0) - 1  # Values that are gone don't count.
        if self.distance is Distance.EQUAL:
            return _equal(left, whole, place)
        return _ordered(left, whole, place)


def _equal(classes: Classes, whole: Floats, place: Counts) -> Floats:
    """Half of the sum of |p - q|, over the values that a class has or not."""
    q = whole[place[classes.value]]
    p = classes.counts / classes.sizes[classes.owner]
    distances: Floats = (1 + classes.sums(np.abs(p - q) - q)) / 2
    return distances


def _ordered(classes: Classes, whole: Floats, place: Counts) -> Floats:
    """Sum of |P - Q| over the cumulative shares, by (values - 1).

    Between two values of a class its own share P stays as it is, while the
    whole's share Q grows: where Q passes P, and the sums of Q on both sides,
    come from one running sum, so the cost is that of the pairs and not of
    classes times values.
    """
    if len(whole) == 1:
        return np.zeros(len(classes.sizes))
    reached = np.cumsum(whole)[:-1]
    sums = np.concatenate([[0.0], np.cumsum(reached)])
    order = np.lexsort((classes.value, classes.owner))
    owner, start = classes.owner[order], place[classes.value[order]]
    is_first = np.concatenate([[True], owner[1:] != owner[:-1]])
    is_last = np.concatenate([is_first[1:], [True]])
    running = _cumulative(classes.counts[order], is_first)
    level = running / classes.sizes[owner]
    end = np.where(is_last, len(reached), np.append(start[1:], 0))
    start = np.minimum(start, len(reached))
    split = np.clip(np.searchsorted(reached, level), start, end)
    under = level * (split - start) - (sums[split] - sums[start])
    over = (sums[end] - sums[split]) - level * (end - split)
    before = np.where(is_first, sums[start], 0.0)
    total = np.bincount(
        owner, weights=under + over + before, minlength=len(classes.sizes)
    )
    distances: Floats = total / len(reached)
    return distances


def _cumulative(counts: Counts, is_first: Mask) -> Counts:
    """Return running sums that begin anew with each class."""
    running = np.cumsum(counts)
    begins = np.flatnonzero(is_first)
    before = running[begins] - counts[begins]
    lengths = np.diff(np.append(begins, len(counts)))
    sums: Counts = running - np.repeat(before, lengths)
    return sums


def allowed(limit: float, rows: int) -> int:
    """Return how many rows a share of all is, rounded down."""
    return math.floor(limit * rows + TOLERANCE)
