"""The independent check: what does a written table really guarantee?

It reads the output file anew and counts, in another way than the search:
grouped text instead of codes, one class after the other instead of all at
once. Nothing of the code that made the file is used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from moderate.dataservices.errors import GuaranteeError
from moderate.dataservices.output import frame
from moderate.dataservices.tables import Table

IDENTIFIER_MASK = "*"
_COUNT = "\0count"
_HELD = 500_000
"""Groups that are held before they are added up."""
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Reached:
    """What a table guarantees.

    Attributes:
        k: Rows of the smallest class.
        distinct_l: Fewest different sensitive values of a class.
        entropy_l: Least exponential of the entropy of a class.
        t: Greatest distance of a class from the whole.
        sizes: Rows of each class.
        values: Different sensitive values of the whole table.
    """

    k: int
    sizes: npt.NDArray[np.int64]
    distinct_l: int | None = None
    entropy_l: float | None = None
    t: float | None = None
    values: int | None = None


@dataclass(frozen=True)
class Demand:
    """What a table must guarantee; ``None``: not asked for."""

    k: int
    distinct_l: float | None = None
    entropy_l: float | None = None
    t: float | None = None


def measure(
    table: Table,
    quasi_identifiers: Sequence[str],
    sensitive: str | None = None,
    *,
    ordered: bool = False,
) -> Reached:
    """Return what a table guarantees.

    Args:
        table: The output.
        quasi_identifiers: Its columns that an attacker may know.
        sensitive: The column to protect.
        ordered: Whether its values are numbers, for the distance.

    Raises:
        GuaranteeError: The table has no rows.
    """
    names = [*quasi_identifiers, *([sensitive] if sensitive else [])]
    groups = _count(table, names)
    if sensitive and ordered:
        numbers = [float(value) for value in groups[sensitive]]
        # 1 and 1.0 are one number.
        groups = _sum(groups.with_columns(pl.Series(sensitive, numbers)))
    classes = groups.group_by(quasi_identifiers).agg(
        pl.col(_COUNT).sum().alias("size"),
        pl.len().alias("distinct"),
        *([pl.col(sensitive), pl.col(_COUNT)] if sensitive else []),
    )
    if classes.is_empty():
        msg = "the output has no rows"
        raise GuaranteeError(msg)
    sizes = classes["size"].to_numpy().astype(np.int64)
    smallest = int(sizes.min())
    if sensitive is None:
        return Reached(smallest, sizes)
    shares = _shares(groups, sensitive, ordered=ordered)
    entropy, distance = math.inf, 0.0
    for values, counts in zip(
        classes[sensitive].to_list(), classes[_COUNT].to_list(), strict=True
    ):
        entropy = min(entropy, _entropy(counts))
        far = _distance(values, counts, shares, ordered=ordered)
        distance = max(distance, far)
    return Reached(
        smallest,
        sizes,
        int(classes["distinct"].to_numpy().min()),
        math.exp(entropy),
        distance,
        len(shares),
    )


def _count(table: Table, names: Sequence[str]) -> pl.DataFrame:
    held: list[pl.DataFrame] = []
    for batch in table.batches(names):
        held.append(_sum(frame(batch).with_columns(pl.lit(1).alias(_COUNT))))
        if sum(map(len, held)) > _HELD:
            held = [_sum(pl.concat(held))]
    if not held:
        return pl.DataFrame({name: [] for name in (*names, _COUNT)})
    return _sum(pl.concat(held))


def _sum(rows: pl.DataFrame) -> pl.DataFrame:
    others = [name for name in rows.columns if name != _COUNT]
    return rows.group_by(others).agg(pl.col(_COUNT).cast(pl.Int64).sum())


def _shares(
    groups: pl.DataFrame, sensitive: str, *, ordered: bool
) -> dict[object, tuple[int, float]]:
    """Return each sensitive value's place and share in the whole table."""
    totals = groups.group_by(sensitive).agg(pl.col(_COUNT).sum())
    pairs = list(totals.iter_rows())
    if ordered:
        pairs.sort()
    rows = sum(count for _, count in pairs)
    return {
        value: (place, count / rows)
        for place, (value, count) in enumerate(pairs)
    }


def _entropy(counts: Sequence[int]) -> float:
    rows = sum(counts)
    return -math.fsum(c / rows * math.log(c / rows) for c in counts)


def _distance(
    values: Sequence[object],
    counts: Sequence[int],
    shares: dict[object, tuple[int, float]],
    *,
    ordered: bool,
) -> float:
    """Return the earth mover's distance of a class from the whole."""
    moved = np.array([-share for _, share in shares.values()])
    rows = sum(counts)
    for value, count in zip(values, counts, strict=True):
        moved[shares[value][0]] += count / rows
    if not ordered:
        return float(np.abs(moved).sum()) / 2
    steps = max(len(moved) - 1, 1)
    return float(np.abs(np.cumsum(moved))[:-1].sum()) / steps


def require(reached: Reached, demand: Demand) -> None:
    """Refuse a table that guarantees less than was asked for.

    Raises:
        GuaranteeError: Says what was asked for and what was found.
    """
    faults = [f"k is {reached.k}, not {demand.k}"] * (reached.k < demand.k)
    for name in ("distinct_l", "entropy_l"):
        wanted, got = getattr(demand, name), getattr(reached, name)
        if wanted is not None and got < wanted - _ROUNDING:
            faults.append(f"{name} is {got:g}, not {wanted:g}")
    if demand.t is not None and (reached.t or 0) > demand.t + _ROUNDING:
        faults.append(f"t is {reached.t:g}, not {demand.t:g}")
    if demand.t is not None and reached.values == 1:
        faults.append("one sensitive value is left")
    if faults:
        msg = f"the check of the output failed: {'; '.join(faults)}"
        raise GuaranteeError(msg)


def require_masked(table: Table, identifiers: Sequence[str]) -> None:
    """Refuse a table that still shows an identifier.

    Raises:
        GuaranteeError: Names the column.
    """
    if not identifiers:
        return
    for batch in table.batches(identifiers):
        for values in frame(batch):
            if len(values) and values.unique().to_list() != [IDENTIFIER_MASK]:
                msg = f"the check of the output failed: {values.name} is shown"
                raise GuaranteeError(msg)
