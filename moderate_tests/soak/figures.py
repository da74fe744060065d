"""What is measured: recovery after faults, delays, memory over time. Pure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from moderate_tests.soak.ledger import Flow

MIB = 2**20
WARM_UP_SECONDS = 60.0
"""Of a process: it imports, opens pools and fills caches."""
SHORTEST_SECONDS = 180.0
"""Of a process's life after that, for its memory to be judged: a third of it
is longer than a burst, or than a fault and what follows."""
FLAT_RATIO = 1.05
"""Of each third over the one before: what grows by more, twice, goes on. A
cache that fills, or code that is loaded by the first fault, does so once."""


@dataclass(frozen=True)
class Struck:
    """A fault that was.

    Attributes:
        name: What was done.
        begun: Seconds since the load began.
        ended: The same; from then on nothing is broken any more.
        fell: Parts of the service that ended by themselves meanwhile.
    """

    name: str
    begun: float
    ended: float
    fell: Sequence[str] = ()


@dataclass(frozen=True)
class Success:
    """Something that came to its end.

    Attributes:
        flow: Where.
        at: Seconds since the load began.
        delay: Seconds since it went in.
    """

    flow: Flow
    at: float
    delay: float


@dataclass(frozen=True)
class Memory:
    """A process's memory at a moment.

    Attributes:
        part: What the process is for.
        pid: Its number; another one after a restart.
        at: Seconds since the load began.
        resident: Bytes.
    """

    part: str
    pid: int
    at: float
    resident: int


@dataclass(frozen=True)
class Trend:
    """How the memory of a process went, its warm-up excepted.

    Attributes:
        part: What the process is for.
        seconds: How long it was looked at.
        first: Median of the first third, in bytes.
        middle: Median of the second third, in bytes.
        last: Median of the last third, in bytes.
        slope: Of a straight line through all, in bytes a second.
    """

    part: str
    seconds: float
    first: float
    middle: float
    last: float
    slope: float

    @property
    def ratio(self) -> float:
        """The last third over the first."""
        return self.last / self.first

    @property
    def is_flat(self) -> bool:
        """Whether it did not grow, or has ceased to."""
        steps = (self.middle / self.first, self.last / self.middle)
        return min(steps) <= FLAT_RATIO


def recovery(
    fault: Struck, successes: Iterable[Success]
) -> Mapping[Flow, float | None]:
    """Return how long each flow needed after a fault was over.

    Returns:
        Seconds until its first success; ``None``: there was none any more.
    """
    first: dict[Flow, float | None] = dict.fromkeys(Flow)
    for each in successes:
        known = first[each.flow]
        if each.at >= fault.ended and (known is None or each.at < known):
            first[each.flow] = each.at
    return {
        flow: None if at is None else at - fault.ended
        for flow, at in first.items()
    }


def trends(samples: Iterable[Memory]) -> Sequence[Trend]:
    """Return the worst trend of each part that lived long enough."""
    ordered = sorted(samples, key=lambda each: (each.part, each.pid, each.at))
    worst: dict[str, Trend] = {}
    for (part, _), life in groupby(
        ordered, lambda each: (each.part, each.pid)
    ):
        trend = _trend(part, list(life))
        if trend is None:
            continue
        if part not in worst or _badness(trend) > _badness(worst[part]):
            worst[part] = trend
    return list(worst.values())


def _badness(trend: Trend) -> tuple[bool, float]:
    return not trend.is_flat, trend.ratio


def _trend(part: str, life: Sequence[Memory]) -> Trend | None:
    begin = life[0].at + WARM_UP_SECONDS
    warm = [each for each in life if each.at >= begin]
    if not warm or warm[-1].at - warm[0].at < SHORTEST_SECONDS:
        return None
    sizes = [float(each.resident) for each in warm]
    third = max(1, len(sizes) // 3)
    line = statistics.linear_regression([each.at for each in warm], sizes)
    return Trend(
        part=part,
        seconds=warm[-1].at - warm[0].at,
        first=statistics.median(sizes[:third]),
        middle=statistics.median(sizes[third:-third]),
        last=statistics.median(sizes[-third:]),
        slope=line.slope,
    )


@dataclass(frozen=True)
class Delays:
    """How long items of a flow took, in seconds."""

    median: float
    high: float
    most: float


def delays(successes: Iterable[Success], flow: Flow) -> Delays | None:
    """Return how long a flow's items took from going in to their end."""
    found = sorted(each.delay for each in successes if each.flow is flow)
    if not found:
        return None
    return Delays(
        median=statistics.median(found),
        high=found[min(len(found) - 1, int(0.95 * len(found)))],
        most=found[-1],
    )
