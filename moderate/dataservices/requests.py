"""What a person asks of the anonymisation, and whether it makes sense."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from moderate.dataservices.errors import DataError
from moderate.dataservices.guarantee import Demand
from moderate.dataservices.rules import Diversity

PERCENT = 100.0


class NullRule(StrEnum):
    """What happens to a row without a value in a quasi-identifier."""

    OWN_CLASS = "own_class"
    SUPPRESS = "suppress"
    REFUSE = "refuse"


class Measure(StrEnum):
    """How the distance for t-closeness is chosen."""

    AUTO = "auto"
    ORDERED = "ordered"
    EQUAL = "equal"


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        ident: Columns that are masked with ``*``.
        quasi_identifiers: Columns that an attacker may know.
        sensitive: Columns to protect; l and t take one.
        hierarchies: By column: a name, or a form (see ``hierarchy_forms``).
        k: Least rows of a class.
        l_value: Least diversity of a class.
        diversity: What counts as diverse.
        t: Greatest distance of a class, 0 to 1.
        measure: Of two sensitive values, for ``t``.
        supp_level: Share of rows that may be suppressed: up to 1 a fraction,
            above it percent.
        nulls: See ``NullRule``.
        sampling: Share of the population in the table, for the risk.
        ignore_case: Whether a column's name may differ by case.
        ignore_ident_case: The same, of ``ident`` alone.
    """

    quasi_identifiers: tuple[str, ...]
    k: int
    ident: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    hierarchies: Mapping[str, Any] = field(default_factory=dict)
    l_value: float | None = None
    diversity: Diversity = Diversity.DISTINCT
    t: float | None = None
    measure: Measure = Measure.AUTO
    supp_level: float = 0.0
    nulls: NullRule = NullRule.OWN_CLASS
    sampling: float = 1.0
    ignore_case: bool = False
    ignore_ident_case: bool = True

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            DataError: Names the option and its range.
        """
        one_sensitive = self.l_value is not None or self.t is not None
        checks = (
            (not self.quasi_identifiers, "quasi_identifiers: name one"),
            (self.k < 1, f"k is {self.k}; it must be 1 or more"),
            (
                not 0 <= self.supp_level <= PERCENT,
                f"supp_level is {self.supp_level:g}; it goes from 0 to 100",
            ),
            (
                self.l_value is not None and not self.l_value >= 1,
                f"l is {self.l_value}; it must be 1 or more",
            ),
            (
                self.t is not None and not 0 <= self.t <= 1,
                f"t is {self.t}; it must be 0 to 1",
            ),
            (
                not 0 < self.sampling <= 1,
                f"sampling_fraction is {self.sampling}; over 0, up to 1",
            ),
            (
                one_sensitive and len(self.sensitive) != 1,
                "name one sensitive_attribute",
            ),
        )
        for is_wrong, msg in checks:
            if is_wrong:
                raise DataError(msg)

    @property
    def limit(self) -> float:
        """The share of rows that may be suppressed, 0 to 1."""
        if self.supp_level > 1:
            return self.supp_level / PERCENT
        return self.supp_level

    @property
    def demand(self) -> Demand:
        """What the output must guarantee."""
        is_entropy = self.diversity is Diversity.ENTROPY
        return Demand(
            self.k,
            distinct_l=None if is_entropy else self.l_value,
            entropy_l=self.l_value if is_entropy else None,
            t=self.t,
        )
