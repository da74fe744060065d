"""What a soak came to, as values that can be written down."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moderate_tests.soak.figures import (
    MIB,
    Delays,
    Memory,
    Struck,
    Success,
    Trend,
    delays,
    recovery,
    trends,
)
from moderate_tests.soak.ledger import Facts, Finding, Flow, Wrong, judge
from moderate_tests.soak.watch import Sample

RECOVERY_LIMIT_SECONDS = 60.0
FLATNESS = {True: "flat", False: "grows", None: "not judged"}
SERIES_POINTS = 240
"""Of a line in the report, and in the file of facts."""


@dataclass(frozen=True)
class Circumstances:
    """What was done, and on what.

    Attributes:
        seed: Of load and faults.
        seconds: How long both went on.
        settled: Seconds from then until everything was over.
        date: In UTC.
        commit: What was tested.
        machine: Where.
    """

    seed: int
    seconds: float
    settled: float
    date: str
    commit: str
    machine: str


@dataclass(frozen=True)
class FlowResult:
    """What came of a flow.

    Attributes:
        flow: Which.
        went_in: How many items there were.
        wrong: How many findings there are, of each sort.
        refused: How often its source did not take what came.
        delays: How long its items took.
    """

    flow: Flow
    went_in: int
    wrong: Mapping[Wrong, int]
    refused: int
    delays: Delays | None


@dataclass(frozen=True)
class FaultResult:
    """What came of a fault.

    Attributes:
        fault: It.
        recovery: Seconds until the first success of each flow after it was
            over; ``None``: there was none any more.
    """

    fault: Struck
    recovery: Mapping[Flow, float | None]

    @property
    def worst(self) -> float | None:
        """Of the flows that went again."""
        known = [each for each in self.recovery.values() if each is not None]
        return max(known, default=None)

    @property
    def not_recovered(self) -> Sequence[Flow]:
        """Flows that never went again."""
        return [flow for flow, took in self.recovery.items() if took is None]


@dataclass(frozen=True)
class Result:
    """What a soak came to.

    Attributes:
        circumstances: What was done, and on what.
        flows: What came of each flow.
        faults: What came of each fault.
        findings: Everything that is wrong.
        trends: How memory went.
        told_again: Same words that the platform was told twice: harmless.
        samples: How the service stood, over time.
        memory: What processes took, over time.
    """

    circumstances: Circumstances
    flows: Sequence[FlowResult]
    faults: Sequence[FaultResult]
    findings: Sequence[Finding]
    trends: Sequence[Trend]
    told_again: int
    samples: Sequence[Sample]
    memory: Sequence[Memory]

    @property
    def is_even(self) -> bool:
        """Whether nothing is lost, doubled, stuck or told wrong."""
        return not self.findings

    @property
    def counts(self) -> Mapping[Wrong, int]:
        """How many findings there are, of each sort."""
        return {
            wrong: sum(each.wrong is wrong for each in self.findings)
            for wrong in Wrong
        }

    @property
    def worst_recovery(self) -> float | None:
        """Of all faults and the flows that went again, in seconds."""
        known = [each.worst for each in self.faults if each.worst is not None]
        return max(known, default=None)

    @property
    def not_recovered(self) -> int:
        """How often a flow never went again after a fault."""
        return sum(len(each.not_recovered) for each in self.faults)

    @property
    def most_connections(self) -> int:
        """The most that Postgres had at once."""
        return max([each.connections for each in self.samples], default=0)

    @property
    def is_recovered(self) -> bool:
        """Whether each flow went again in time after each fault."""
        return all(
            took is not None and took < RECOVERY_LIMIT_SECONDS
            for each in self.faults
            for took in each.recovery.values()
        )

    @property
    def is_flat(self) -> bool | None:
        """Whether the memory of each process is; ``None``: too short."""
        if not self.trends:
            return None
        return all(each.is_flat for each in self.trends)

    @property
    def missed(self) -> Sequence[str]:
        """Targets that were missed, in words; none: the soak is passed."""
        limit = RECOVERY_LIMIT_SECONDS
        counted = [f"{name} {n}" for name, n in self.counts.items() if n]
        late = [
            f"{flow} after {each.fault.name}: {_took(took)}"
            for each in self.faults
            for flow, took in each.recovery.items()
            if took is None or took >= limit
        ]
        grown = [each.part for each in self.trends if not each.is_flat]
        return [
            *counted,
            *(f"not recovered in {limit:.0f} s: {each}" for each in late),
            *(f"memory grows: {part}" for part in grown),
        ]

    @property
    def series(self) -> Mapping[str, Mapping[str, Sequence["Point"]]]:
        """Lines over time, by what they show, and by flow or process."""
        parts = dict.fromkeys(each.part for each in self.memory)
        return {
            "open": {
                flow: thin([(s.at, s.open[flow]) for s in self.samples])
                for flow in Flow
            },
            "done": {
                flow: thin([(s.at, s.done[flow]) for s in self.samples])
                for flow in Flow
            },
            "memory": {
                part: thin(
                    [
                        (each.at, each.resident / MIB)
                        for each in self.memory
                        if each.part == part
                    ]
                )
                for part in parts
            },
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {n}" for name, n in self.counts.items())
        went_in = ", ".join(f"{e.went_in} {e.flow}" for e in self.flows)
        worst = self.worst_recovery
        return (
            f"{counts}; in: {went_in}; faults: {len(self.faults)}; slowest"
            f" recovery: {'none' if worst is None else f'{worst:.0f} s'},"
            f" {self.not_recovered} not recovered;"
            f" memory {FLATNESS[self.is_flat]}"
            f" ({len(self.trends)} processes judged);"
            f" at most {self.most_connections} connections to Postgres;"
            f" told again {self.told_again};"
            f" seed {self.circumstances.seed}"
        )

    def as_json(self) -> str:
        """Return all facts as JSON."""
        facts: dict[str, Any] = {
            "summary": str(self),
            "counts": self.counts,
            "recovery_limit_seconds": RECOVERY_LIMIT_SECONDS,
            "worst_recovery_seconds": self.worst_recovery,
            "not_recovered": self.not_recovered,
            "most_connections": self.most_connections,
            "is_even": self.is_even,
            "is_recovered": self.is_recovered,
            "is_flat": self.is_flat,
            "missed": self.missed,
        }
        for each in dataclasses.fields(self):
            if each.name not in ("samples", "memory"):
                facts[each.name] = _plain(getattr(self, each.name))
        for trend, known in zip(self.trends, facts["trends"], strict=True):
            known |= {"ratio": trend.ratio, "is_flat": trend.is_flat}
        facts["series"] = self.series
        return json.dumps(_rounded(facts))


Point = tuple[float, float]


def _took(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s"


def thin(points: Sequence[Point]) -> Sequence[Point]:
    """Leave points of a line out, so that few enough are left."""
    step = max(1, -(-len(points) // SERIES_POINTS))
    return [(round(at, 1), round(value, 1)) for at, value in points[::step]]


def weigh(
    circumstances: Circumstances,
    facts: Facts,
    faults: Sequence[Struck],
    successes: Sequence[Success],
    refused: Mapping[Flow, int],
    samples: Sequence[Sample],
    memory: Sequence[Memory],
) -> Result:
    """Hold everything that was seen against what must hold.

    Args:
        circumstances: What was done, and on what.
        facts: What came of each item.
        faults: What was broken.
        successes: When something came to its end.
        refused: How often a source did not take what came.
        samples: How the service stood.
        memory: What processes took.
    """
    findings = judge(facts)
    went_in = facts.went_in
    return Result(
        circumstances=circumstances,
        flows=[
            FlowResult(
                flow=flow,
                went_in=went_in[flow],
                wrong={
                    wrong: sum(
                        each.flow is flow and each.wrong is wrong
                        for each in findings
                    )
                    for wrong in Wrong
                },
                refused=refused.get(flow, 0),
                delays=delays(successes, flow),
            )
            for flow in Flow
        ],
        faults=[
            FaultResult(fault, recovery(fault, successes)) for fault in faults
        ],
        findings=findings,
        trends=trends(memory),
        told_again=facts.told_again,
        samples=samples,
        memory=memory,
    )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(each) for each in value]
    return value
