"""The search for the generalisation that loses the least information.

A *node* names a level for each quasi-identifier; the nodes are a lattice. A
node's loss is at least the mean loss of its cells (its *bound*): suppressed
rows can only lose more. So nodes are looked at by ascending bound, and the
search ends at the first bound over the best loss found: what it returns is
the optimum, whatever the rule.

Where a rule is monotone, a node that fails condemns all below it (predictive
tagging), and a binary search along a chain to the top finds the highest such
node: Kohlmayer et al., "Flash: efficient, stable and optimal k-anonymity",
2012.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from moderate.dataservices.encoding import Codes, Counts, Mask, combine
from moderate.dataservices.errors import DataError
from moderate.dataservices.hierarchies import Level
from moderate.dataservices.rules import Classes, Floats, Rule

Node = tuple[int, ...]

MAX_NODES = 2_000_000
"""Of one lattice."""

_SAME = 1e-12
"""Losses closer than this are one."""


@dataclass(frozen=True)
class Groups:
    """The rows, grouped by their original values.

    Attributes:
        codes: One array a quasi-identifier: the values' codes, by group.
        counts: Rows in each group.
        sensitive: The sensitive value's code, by group, if the rule needs it.
        removed: Rows that are suppressed already, for a null.
    """

    codes: tuple[Codes, ...]
    counts: Counts
    sensitive: Codes | None = None
    removed: int = 0

    @property
    def rows(self) -> int:
        """All rows, those removed too."""
        return int(self.counts.sum()) + self.removed


@dataclass(frozen=True)
class Found:
    """A node that fulfils the rule.

    Attributes:
        node: Level of each quasi-identifier.
        loss: Information lost, 0 to 1.
        gone: Groups that are suppressed.
        suppressed: Rows that are suppressed.
    """

    node: Node
    loss: float
    gone: Mask
    suppressed: int

    def rank(self) -> tuple[float, int, Node]:
        """Order by loss; of equals the lower, then the first."""
        return (round(self.loss / _SAME), sum(self.node), self.node)


@dataclass
class Search:
    """One search; ``best`` is all that is called.

    Args:
        groups: The rows.
        levels: Each quasi-identifier's levels.
        rule: What must hold.
        limit: Rows that may be suppressed.
    """

    groups: Groups
    levels: Sequence[Sequence[Level]]
    rule: Rule
    limit: int
    looked_at: int = 0
    _known: dict[Node, Found | None] = field(default_factory=dict)

    def best(self) -> Found | None:
        """Return the node of the least loss; ``None``: the rule can't hold.

        Raises:
            DataError: The lattice has over ``MAX_NODES`` nodes.
        """
        bounds = self._bounds()
        fails = np.zeros(bounds.shape, dtype=np.bool_)
        is_monotone = self.rule.is_monotone(self.limit)
        best: Found | None = None
        top = tuple(n - 1 for n in bounds.shape)
        if is_monotone and not self._look(top):
            return None
        for number in np.argsort(bounds, axis=None, kind="stable"):
            node = tuple(map(int, np.unravel_index(number, bounds.shape)))
            if best and bounds[node] > best.loss + _SAME:
                break
            if fails[node]:
                continue
            found = self._look(node)
            if found is None and is_monotone:
                found = self._climb(node, top, fails)
            if found and (best is None or found.rank() < best.rank()):
                best = found
        return best

    def _bounds(self) -> Floats:
        shape = tuple(map(len, self.levels))
        if np.prod(shape, dtype=float) > MAX_NODES:
            msg = (
                f"{len(shape)} quasi-identifiers with {shape} levels make"
                f" over {MAX_NODES} combinations; give fewer levels"
            )
            raise DataError(msg)
        bounds = np.zeros(shape)
        rows, kept = self.groups.rows, self.groups.counts
        for axis, levels in enumerate(self.levels):
            codes = self.groups.codes[axis]
            losses = [float(kept @ lv.loss[codes]) for lv in levels]
            place = [1] * len(shape)
            place[axis] = -1
            bounds += np.array(losses).reshape(place) / (rows * len(shape))
        return bounds + self.groups.removed / rows

    def _look(self, node: Node) -> Found | None:
        if node not in self._known:
            self._known[node] = self._evaluate(node)
            self.looked_at += 1
        return self._known[node]

    def _climb(self, node: Node, top: Node, fails: Mask) -> Found | None:
        """Condemn all below the highest failing node on a way to the top.

        The top itself does not fail. Returns the node after that.
        """
        chain = _chain(node, top)
        low, high = 0, len(chain) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if self._look(chain[middle]) is None:
                low = middle
            else:
                high = middle
        fails[tuple(slice(0, level + 1) for level in chain[low])] = True
        return self._look(chain[high])

    def _evaluate(self, node: Node) -> Found | None:
        groups = self.groups
        owner, count = self._classes_of(node)
        classes = _classes(owner, count, groups, self.rule)
        failing = self.rule.failing(classes)
        suppressed = int(classes.sizes[failing].sum()) + groups.removed
        if suppressed > self.limit or failing.all():
            return None
        gone: Mask = failing[owner]
        cells = np.zeros(len(groups.counts))
        for levels, level, codes in zip(
            self.levels, node, groups.codes, strict=True
        ):
            cells += levels[level].loss[codes]
        lost = float(groups.counts[~gone] @ cells[~gone]) / len(node)
        loss = (lost + suppressed) / groups.rows
        return Found(node, loss, gone, suppressed)

    def _classes_of(self, node: Node) -> tuple[Counts, int]:
        chosen = [lv[i] for lv, i in zip(self.levels, node, strict=True)]
        return combine(
            [
                level.codes[codes]
                for level, codes in zip(chosen, self.groups.codes, strict=True)
            ],
            [len(level.labels) for level in chosen],
            len(self.groups.counts),
        )


def _classes(owner: Counts, count: int, groups: Groups, rule: Rule) -> Classes:
    sizes = np.bincount(owner, weights=groups.counts, minlength=count)
    nothing = np.zeros(0, dtype=np.int64)
    whole = sizes.astype(np.int64)
    if groups.sensitive is None or not rule.needs_sensitive:
        return Classes(whole, nothing, nothing, nothing)
    values = int(groups.sensitive.max(initial=0)) + 1
    keys = owner * values + groups.sensitive
    pairs, inverse = np.unique(keys, return_inverse=True)
    counts = np.bincount(inverse, weights=groups.counts)
    return Classes(
        whole, pairs // values, pairs % values, counts.astype(np.int64)
    )


def _chain(node: Node, top: Node) -> list[Node]:
    """Return the nodes on a way from ``node`` to the top, one step each."""
    chain = [node]
    while chain[-1] != top:
        last = chain[-1]
        # The one that is farthest from its top, so that all rise together.
        axis = max(range(len(top)), key=lambda i: top[i] - last[i])
        chain.append((*last[:axis], last[axis] + 1, *last[axis + 1 :]))
    return chain
