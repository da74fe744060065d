"""The numbers as Prometheus reads them.

A scrape looks at the service; scrapes that come close together share a look.
Counters count what this process has seen since it began, as Prometheus
expects of a counter that starts again.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from threading import Lock

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from moderate.errors import ModerateError
from moderate.inbox.measures import count_ended
from moderate.inbox.model import Kind, State
from moderate.settings import Settings
from moderate.watch.numbers import FlowNumbers, Numbers, inbox_of, look

SHARED_SECONDS = 10.0
"""How long a look serves other scrapes too."""

ITEM_STATES: Mapping[str, Callable[[FlowNumbers], int]] = {
    "pending": lambda flow: flow.pending,
    "due": lambda flow: flow.due,
    "dispatched": lambda flow: flow.dispatched,
    "running": lambda flow: flow.running,
    "dead": lambda flow: flow.dead,
}
FLOW_GAUGES: Mapping[str, tuple[str, Callable[[FlowNumbers], float]]] = {
    "moderate_oldest_due_seconds": (
        "How long the first item that is due or waits for its run has been.",
        lambda flow: flow.oldest_due_seconds,
    ),
    "moderate_done_last_hour": (
        "Items that were done within the last hour.",
        lambda flow: flow.done_last_hour,
    ),
    "moderate_attempts_per_done": (
        "Attempts that an item done within the last hour took on average.",
        lambda flow: flow.attempts_per_done,
    ),
}
QUEUES: Mapping[str, Callable[[FlowNumbers], int | None]] = {
    "work": lambda flow: flow.queue_messages,
    "dead_letter": lambda flow: flow.dead_letters,
}


class ServiceCollector(Collector):
    """Gives the numbers to a registry of ``prometheus_client``.

    Args:
        settings: The service's.
        kinds: Of all flows.
    """

    def __init__(self, settings: Settings, kinds: Iterable[Kind]) -> None:
        self._settings = settings
        self._kinds = tuple(kinds)
        self._lock = Lock()
        self._numbers: Numbers | None = None
        self._looked_at = 0.0
        self._since: datetime | None = None
        self._ended: Counter[tuple[str, str, State]] = Counter()
        self._probes: Counter[tuple[str, str]] = Counter()

    def describe(self) -> Sequence[Metric]:
        """Name no metric beforehand: a registry must not look to register."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Look, or use a look that is fresh, and return all metrics."""
        with self._lock:
            numbers = self._fresh()
            yield from _of_service(numbers)
            if not numbers.inbox_problem:
                yield from _of_items(numbers.flows)
            yield from _of_queues(numbers.flows)
            yield from _of_peers(numbers)
            yield from self._counters()

    def _fresh(self) -> Numbers:
        now = time.monotonic()
        if self._numbers and now - self._looked_at < SHARED_SECONDS:
            return self._numbers
        self._numbers = look(self._settings, self._kinds)
        self._looked_at = now
        for peer in self._numbers.peers:
            outcome = "failed" if peer.problem else "answered"
            self._probes[peer.peer, outcome] += 1
        if not self._numbers.inbox_problem:
            self._count_ended()
        return self._numbers

    def _count_ended(self) -> None:
        flows = {kind.name: kind.flow for kind in self._kinds}
        try:
            with inbox_of(self._settings) as conn:
                ended = count_ended(conn, list(flows), self._since)
        except ModerateError:
            return  # counted next time: the moment stays
        self._since = ended.until
        for (kind, state), items in ended.counts.items():
            self._ended[flows[kind], kind, state] += items

    def _counters(self) -> Iterator[Metric]:
        ended = CounterMetricFamily(
            "moderate_items_ended",
            "Items that ended, by state, since this process began.",
            labels=["flow", "kind", "state"],
        )
        for kind in self._kinds:
            for state in (State.DONE, State.DEAD, State.CANCELLED):
                count = self._ended[kind.flow, kind.name, state]
                ended.add_metric([kind.flow, kind.name, state], count)
        yield ended
        probes = CounterMetricFamily(
            "moderate_peer_probes",
            "Probes of peers, by outcome, since this process began.",
            labels=["peer", "outcome"],
        )
        for (peer, outcome), count in self._probes.items():
            probes.add_metric([peer, outcome], count)
        yield probes


def _of_service(numbers: Numbers) -> Iterator[Metric]:
    for name, text, value in (
        (
            "moderate_inbox_up",
            "Whether the inbox can be read.",
            not numbers.inbox_problem,
        ),
        ("moderate_look_seconds", "How long a look took.", numbers.seconds),
    ):
        yield GaugeMetricFamily(name, text, value=float(value))
    if numbers.schema_found is not None:
        yield GaugeMetricFamily(
            "moderate_schema_current",
            "Whether the inbox's schema is the one of this release.",
            value=float(numbers.is_schema_current),
        )
    if numbers.seconds_since_tick is not None:
        yield GaugeMetricFamily(
            "moderate_seconds_since_tick",
            "How long ago daemon and code server were seen at work.",
            value=numbers.seconds_since_tick,
        )
    on = GaugeMetricFamily(
        "moderate_flow_on", "Whether a flow is on.", labels=["flow"]
    )
    for flow in numbers.flows:
        on.add_metric([flow.flow], float(flow.is_on))
    yield on


def _of_items(flows: Sequence[FlowNumbers]) -> Iterator[Metric]:
    own = [flow for flow in flows if flow.has_items]
    items = GaugeMetricFamily(
        "moderate_items",
        "Items by state; due ones are pending too.",
        labels=["flow", "state"],
    )
    for flow in own:
        for state, of in ITEM_STATES.items():
            items.add_metric([flow.flow, state], of(flow))
    yield items
    for name, (text, number) in FLOW_GAUGES.items():
        gauge = GaugeMetricFamily(name, text, labels=["flow"])
        for flow in own:
            gauge.add_metric([flow.flow], number(flow))
        yield gauge


def _of_queues(flows: Sequence[FlowNumbers]) -> Iterator[Metric]:
    gauge = GaugeMetricFamily(
        "moderate_queue_messages",
        "Messages that wait at the broker.",
        labels=["flow", "queue"],
    )
    for flow in flows:
        for queue, of in QUEUES.items():
            if (count := of(flow)) is not None:
                gauge.add_metric([flow.flow, queue], count)
    yield gauge


def _of_peers(numbers: Numbers) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "moderate_peer_up",
        "Whether a peer answers and knows us.",
        labels=["peer"],
    )
    seconds = GaugeMetricFamily(
        "moderate_peer_probe_seconds",
        "How long the last probe of a peer took.",
        labels=["peer"],
    )
    for peer in numbers.peers:
        up.add_metric([peer.peer], float(not peer.problem))
        seconds.add_metric([peer.peer], peer.seconds)
    yield up
    yield seconds
