"""From numbers to what the UI plots and checks. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dagster import (
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    MetadataValue,
    TableRecord,
)

from moderate.inbox.migrate import MEND
from moderate.inbox.model import WorkItem
from moderate.settings import FLOW_NEEDS
from moderate.watch.numbers import FlowNumbers, Numbers, PeerNumbers
from moderate.watch.peers import PEERS

GROUP = "operations"
DEAD_SHOWN = 10
REASON_CHARS = 200

NOTHING_DEAD = "nothing_dead"
NOTHING_LATE = "nothing_late"
NO_DEAD_LETTERS = "no_dead_letters"
SCHEMA_CURRENT = "schema_current"
INBOX_READABLE = "inbox_readable"

INBOX = AssetKey([GROUP, "inbox"])
PEERS_KEY = AssetKey([GROUP, "peers"])

Metadata = Mapping[str, MetadataValue]


def flow_key(flow: str) -> AssetKey:
    """Return the key of a flow's asset."""
    return AssetKey([GROUP, flow])


def asset_keys() -> Sequence[AssetKey]:
    """Return the keys of all assets of the group."""
    return [*(flow_key(flow) for flow in FLOW_NEEDS), INBOX, PEERS_KEY]


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        asset: The asset that it is of.
        check: Its name.
        passed: Whether all is well.
        said: What was found, in a sentence.
        severity: What it means if not.
    """

    asset: AssetKey
    check: str
    passed: bool
    said: str
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR

    @property
    def name(self) -> str:
        """The check's name, unique over all assets."""
        return f"{self.asset.to_user_string()}:{self.check}"


@dataclass(frozen=True)
class _FlowCheck:
    name: str
    description: str
    judge: Callable[[FlowNumbers, timedelta], tuple[bool, str]]
    severity: AssetCheckSeverity


def _nothing_dead(flow: FlowNumbers, _limit: timedelta) -> tuple[bool, str]:
    return flow.dead == 0, f"{flow.dead} items are dead"


def _nothing_late(flow: FlowNumbers, limit: timedelta) -> tuple[bool, str]:
    age = flow.oldest_due_seconds
    said = f"the oldest item has been due for {age:.0f} s"
    return age <= limit.total_seconds(), said


def _no_dead_letters(flow: FlowNumbers, _limit: timedelta) -> tuple[bool, str]:
    if flow.dead_letters is None:
        return True, "there is no dead-letter queue to look at"
    count = flow.dead_letters
    return count == 0, f"{count} messages are in the dead-letter queue"


FLOW_CHECKS = (
    _FlowCheck(
        NOTHING_DEAD,
        "No item has given up. To do otherwise: read the reason in the"
        " point's table or by `moderate inbox ls --state dead`; when the cause"
        " is mended, run `inbox_admin_job` with action `retry` (or `moderate"
        " inbox retry ID`); what nobody needs any more, `drop`.",
        _nothing_dead,
        AssetCheckSeverity.ERROR,
    ),
    _FlowCheck(
        NOTHING_LATE,
        "No item has been due for longer than OPERATIONS_OLDEST_DUE_SECONDS."
        " To do otherwise: see whether the flow's sensor is on and its ticks"
        " succeed, whether its runs wait in Dagster's queue, and whether the"
        " peers below `operations/peers` answer.",
        _nothing_late,
        AssetCheckSeverity.WARN,
    ),
    _FlowCheck(
        NO_DEAD_LETTERS,
        "No message was put aside as not understood. To do otherwise: read"
        " the header `x-moderate-reason` of the messages in the dead-letter"
        " queue, tell their sender, and purge the queue.",
        _no_dead_letters,
        AssetCheckSeverity.WARN,
    ),
)


def check_specs() -> Iterator[AssetCheckSpec]:
    """Return all checks, each with what to do if it fails."""
    for flow in FLOW_NEEDS:
        for check in FLOW_CHECKS:
            yield AssetCheckSpec(
                check.name,
                asset=flow_key(flow),
                description=check.description,
            )
    yield AssetCheckSpec(
        INBOX_READABLE,
        asset=INBOX,
        description="The inbox's database answers. To do otherwise: see"
        " whether Postgres is up, and run `moderate doctor`.",
    )
    yield AssetCheckSpec(
        SCHEMA_CURRENT,
        asset=INBOX,
        description="The inbox's schema is the one that this release needs."
        f" To do otherwise: run `{MEND}`.",
    )
    for peer in PEERS:
        yield AssetCheckSpec(
            peer_check(peer),
            asset=PEERS_KEY,
            description=f"{peer} answers, and knows our account (or is not"
            " set up). To do otherwise: run `moderate doctor`, which names"
            " the settings to look at.",
        )


def peer_check(peer: str) -> str:
    """Return the name of a peer's check."""
    return f"{peer}_reachable"


def verdicts(numbers: Numbers, oldest_due: timedelta) -> Iterator[Verdict]:
    """Judge the numbers; nothing is said of what could not be read."""
    yield Verdict(
        INBOX,
        INBOX_READABLE,
        not numbers.inbox_problem,
        numbers.inbox_problem or "the inbox's database answers",
    )
    if numbers.schema_found is not None:
        yield Verdict(
            INBOX,
            SCHEMA_CURRENT,
            numbers.is_schema_current,
            f"the schema is at version {numbers.schema_found}, this release"
            f" needs {numbers.schema_wanted}",
        )
    if not numbers.inbox_problem:
        for flow in numbers.flows:
            yield from _of_flow(flow, oldest_due)
    yield from _of_peers(numbers.peers)


def _of_flow(flow: FlowNumbers, oldest_due: timedelta) -> Iterator[Verdict]:
    for check in FLOW_CHECKS:
        passed, said = check.judge(flow, oldest_due)
        yield Verdict(
            flow_key(flow.flow), check.name, passed, said, check.severity
        )


def _of_peers(peers: Sequence[PeerNumbers]) -> Iterator[Verdict]:
    found = {peer.peer: peer for peer in peers}
    for name in PEERS:
        peer = found.get(name)
        if peer is None:
            said = "it is not set up"
        else:
            said = peer.problem or f"it answered in {peer.seconds:.2f} s"
        passed = peer is None or not peer.problem
        yield Verdict(PEERS_KEY, peer_check(name), passed, said)


def state_point(flow: FlowNumbers, inbox_problem: str) -> Metadata:
    """Say whether a flow is on, and what is not known of it."""
    unknown = f"not known: {inbox_problem}" if inbox_problem else ""
    return {"state": MetadataValue.text(flow.why_off or unknown or "on")}


def flow_point(flow: FlowNumbers) -> Metadata:
    """Return the numbers of a flow that are plotted."""
    point: dict[str, MetadataValue] = {}
    if flow.has_items:
        point |= {
            "pending": MetadataValue.int(flow.pending),
            "due": MetadataValue.int(flow.due),
            "oldest due (seconds)": _decimal(flow.oldest_due_seconds),
            "dispatched": MetadataValue.int(flow.dispatched),
            "running": MetadataValue.int(flow.running),
            "done in the last hour": MetadataValue.int(flow.done_last_hour),
            "attempts per done item": _decimal(flow.attempts_per_done),
            "dead": MetadataValue.int(flow.dead),
        }
    for name, count in (
        ("messages at the broker", flow.queue_messages),
        ("dead letters", flow.dead_letters),
    ):
        if count is not None:
            point[name] = MetadataValue.int(count)
    return point


def _decimal(value: float) -> MetadataValue:
    return MetadataValue.float(round(float(value), 3))


def dead_point(dead: Sequence[WorkItem]) -> Metadata:
    """Return the table of what is dead, if anything is."""
    if not dead:
        return {}
    return {
        "dead items": MetadataValue.table([_dead_row(item) for item in dead])
    }


def _dead_row(item: WorkItem) -> TableRecord:
    since = item.finished_at or item.updated_at
    return TableRecord(
        {
            "item": item.id,
            "kind": item.kind,
            "key": item.key,
            "since": since.isoformat(timespec="seconds"),
            "reason": (item.last_error or "")[:REASON_CHARS],
        }
    )


def inbox_point(numbers: Numbers) -> Metadata:
    """Return the inbox's point."""
    return {
        "state": MetadataValue.text(numbers.inbox_problem or "well"),
        "schema": MetadataValue.int(numbers.schema_found or 0),
        "look (seconds)": _decimal(numbers.seconds),
    }


def peers_point(peers: Sequence[PeerNumbers]) -> Metadata:
    """Return the point of all peers that are set up."""
    point: dict[str, MetadataValue] = {}
    for peer in peers:
        point |= {
            f"{peer.peer} (seconds)": _decimal(peer.seconds),
            f"{peer.peer} (error rate)": _decimal(peer.error_rate),
        }
        if peer.problem:
            point[f"{peer.peer} (problem)"] = MetadataValue.text(peer.problem)
    return point
