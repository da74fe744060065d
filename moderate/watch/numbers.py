"""The numbers that say how the service is; computed here and nowhere else.

The UI, ``moderate status`` and the metrics show the same ones: each begins
with ``look``.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from moderate.connections import inbox_address
from moderate.errors import ModerateError, SettingsError
from moderate.inbox.cursors import cursor_age
from moderate.inbox.database import Conn, single_connection
from moderate.inbox.measures import KindMeasures, measure_kinds
from moderate.inbox.migrate import MEND, migrations, schema_version
from moderate.inbox.model import Kind
from moderate.redaction import Redactor
from moderate.settings import FlowState, Settings
from moderate.watch.history import CURSOR, read_history
from moderate.watch.peers import Probe, probe_peers

BROKER = "rabbitmq"
BROKER_FLOW = "matrix_profile"
"""The flow whose events wait in the broker."""


@dataclass(frozen=True)
class FlowNumbers:
    """How a flow is.

    Attributes:
        flow: Its name.
        why_off: Which settings would switch it on; empty: it is on.
        has_items: Whether its work is items of the inbox.
        pending: Items that wait, for their time or for another item.
        due: Those of them whose time has come.
        oldest_due_seconds: How long the first item that is due, or waits for
            its run, has been so.
        dispatched: Items that wait for their run.
        running: Items that a run works on.
        done_last_hour: Items that were done within the last hour.
        attempts_per_done: Attempts that one of those took on average; 0
            where there was none.
        dead: Items that gave up and were neither retried nor dropped.
        queue_messages: Messages that wait at the broker; ``None``: it has no
            queue there, or it can't be asked.
        dead_letters: Messages that could not be understood; as above.
    """

    flow: str
    why_off: str = ""
    has_items: bool = True
    pending: int = 0
    due: int = 0
    oldest_due_seconds: float = 0.0
    dispatched: int = 0
    running: int = 0
    done_last_hour: int = 0
    attempts_per_done: float = 0.0
    dead: int = 0
    queue_messages: int | None = None
    dead_letters: int | None = None

    @property
    def is_on(self) -> bool:
        """Say whether all that the flow needs is set."""
        return not self.why_off


@dataclass(frozen=True)
class PeerNumbers:
    """How a peer is.

    Attributes:
        peer: Its name.
        problem: Why it is of no use; empty if all is well.
        seconds: How long its last probe took.
        error_rate: Which share of its last sixty probes failed.
        version: As it says itself; empty if it doesn't.
    """

    peer: str
    problem: str
    seconds: float
    error_rate: float
    version: str = ""


@dataclass(frozen=True)
class Numbers:
    """How the service is.

    Attributes:
        flows: By name, as the settings list them.
        peers: Those that are set up.
        inbox_problem: Why the inbox can't be read; empty if it can. The
            numbers of items are 0 then, and mean nothing.
        seconds_since_tick: How long ago the operations sensor looked last, so
            that daemon and code server were at work; ``None``: never.
        schema_found: Version of the inbox's schema, 0 before it is made;
            ``None``: not known.
        schema_wanted: Version that this release needs.
        seconds: How long the look took.
        probes: What the peers' numbers were made of.
    """

    flows: tuple[FlowNumbers, ...]
    peers: tuple[PeerNumbers, ...]
    inbox_problem: str
    seconds_since_tick: float | None
    schema_found: int | None
    schema_wanted: int
    seconds: float
    probes: tuple[Probe, ...] = field(default=(), repr=False)

    @property
    def is_schema_current(self) -> bool:
        """Say whether the schema is this release's."""
        return self.schema_found == self.schema_wanted


@dataclass(frozen=True)
class _Inbox:
    """What the inbox says, or why it says nothing."""

    problem: str
    schema: int | None = None
    seconds_since_tick: float | None = None
    measures: Sequence[KindMeasures] = ()
    rates: Mapping[str, float] = field(default_factory=dict)


def look(settings: Settings, kinds: Iterable[Kind]) -> Numbers:
    """Look at inbox and peers; costs one statement and one call a peer."""
    begun = time.monotonic()
    known = tuple(kinds)
    inbox = _inbox(settings, known)
    probes = probe_peers(settings)
    broker = [p.greeted.queues for p in probes if p.peer == BROKER]
    queues = broker[0] if broker else {}
    return Numbers(
        flows=tuple(
            _flow(settings, state, known, inbox.measures, queues)
            for state in settings.flows()
        ),
        peers=tuple(_peer(probe, inbox.rates) for probe in probes),
        inbox_problem=inbox.problem,
        seconds_since_tick=inbox.seconds_since_tick,
        schema_found=inbox.schema,
        schema_wanted=wanted_schema(),
        seconds=time.monotonic() - begun,
        probes=probes,
    )


def wanted_schema() -> int:
    """Return the version of the schema that this release needs."""
    return migrations()[-1].number


def inbox_of(settings: Settings) -> AbstractContextManager[Conn]:
    """Return a connection of its own to the inbox, for a look."""
    within = settings.operations.probe_timeout
    return single_connection(inbox_address(settings), within=within)


def _inbox(settings: Settings, kinds: Sequence[Kind]) -> _Inbox:
    try:
        with inbox_of(settings) as conn:
            return _read(conn, kinds)
    except SettingsError as error:
        return _Inbox(str(error))
    except ModerateError as error:
        return _Inbox(Redactor(settings.secrets()).redact(str(error)))


def _read(conn: Conn, kinds: Sequence[Kind]) -> _Inbox:
    schema = schema_version(conn)
    if schema != wanted_schema():
        problem = (
            f"its schema is at version {schema}, this release needs"
            f" {wanted_schema()}: run `{MEND}`"
        )
        return _Inbox(problem, schema)
    return _Inbox(
        "",
        schema,
        cursor_age(conn, CURSOR),
        measure_kinds(conn, [kind.name for kind in kinds]),
        read_history(conn).value.error_rates(),
    )


def _flow(
    settings: Settings,
    state: FlowState,
    kinds: Sequence[Kind],
    measures: Sequence[KindMeasures],
    queues: Mapping[str, int | None],
) -> FlowNumbers:
    names = {kind.name for kind in kinds if kind.flow == state.name}
    own = [each for each in measures if each.kind in names]
    done = sum(each.done_last_hour for each in own)
    asked = queues if state.name == BROKER_FLOW else {}
    flow = settings.matrix_profile
    return FlowNumbers(
        flow=state.name,
        why_off="" if state.is_on else state.why_off(),
        has_items=bool(names),
        pending=sum(each.pending for each in own),
        due=sum(each.due for each in own),
        oldest_due_seconds=max((e.oldest_due_seconds for e in own), default=0),
        dispatched=sum(each.dispatched for each in own),
        running=sum(each.running for each in own),
        done_last_hour=done,
        attempts_per_done=sum(e.attempts for e in own) / done if done else 0,
        dead=sum(each.dead for each in own),
        queue_messages=asked.get(flow.queue),
        dead_letters=asked.get(flow.dead_letter_queue),
    )


def _peer(probe: Probe, rates: Mapping[str, float]) -> PeerNumbers:
    return PeerNumbers(
        peer=probe.peer,
        problem=probe.problem,
        seconds=probe.seconds,
        error_rate=rates.get(probe.peer, 0.0 if probe.is_well else 1.0),
        version=probe.greeted.version,
    )
