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

from moderate.flows.operations.runs import (
    DATA_SERVICES,
    SCHEDULED,
    RunNumbers,
)
from moderate.inbox.migrate import MEND
from moderate.inbox.model import WorkItem
from moderate.settings import FLOW_NEEDS
from moderate.watch.numbers import (
    BROKER_FLOW,
    FlowNumbers,
    Numbers,
    PeerNumbers,
)
from moderate.watch.peers import PEERS

GROUP = "operations"
DEAD_SHOWN = 10
REASON_CHARS = 200

NOTHING_DEAD = "nothing_dead"
NOTHING_LATE = "nothing_late"
NO_DEAD_LETTERS = "no_dead_letters"
LAST_RUN_SUCCEEDED = "last_run_succeeded"
NO_RUN_FAILED = "no_run_failed_in_a_day"
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
    return [*(flow_key(flow) for flow in flows()), INBOX, PEERS_KEY]


def flows() -> Sequence[str]:
    """Return the flows that have an asset: also the one that needs nothing."""
    return [*FLOW_NEEDS, DATA_SERVICES]


def flows_of(numbers: Numbers) -> Sequence[FlowNumbers]:
    """Return the numbers of all flows that have an asset."""
    return [*numbers.flows, FlowNumbers(DATA_SERVICES, has_items=False)]


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
class _Found:
    """What a flow's checks judge."""

    flow: FlowNumbers
    runs: RunNumbers
    oldest_due: timedelta


@dataclass(frozen=True)
class _FlowCheck:
    name: str
    description: str
    judge: Callable[[_Found], tuple[bool, str]]
    severity: AssetCheckSeverity


def _nothing_dead(found: _Found) -> tuple[bool, str]:
    count = found.flow.dead
    return count == 0, f"{count} items are dead"


def _nothing_late(found: _Found) -> tuple[bool, str]:
    age = found.flow.oldest_due_seconds
    said = f"the oldest item has been due for {age:.0f} s"
    return age <= found.oldest_due.total_seconds(), said


def _no_dead_letters(found: _Found) -> tuple[bool, str]:
    count = found.flow.dead_letters
    if count is None:
        return True, "there is no dead-letter queue to look at"
    return count == 0, f"{count} messages are in the dead-letter queue"


def _last_run(found: _Found) -> tuple[bool, str]:
    if not found.flow.is_on:
        return True, "the flow is off"
    failed = found.runs.last_failed(found.flow.flow)
    return not failed, "; ".join(failed) or "no last run failed"


def _no_run_failed(found: _Found) -> tuple[bool, str]:
    count = found.runs.failed[found.flow.flow]
    return count == 0, f"{count} runs failed within a day"


ITEM_CHECKS = (
    _FlowCheck(
        NOTHING_DEAD,
        "No item has given up. To do otherwise: read the reason in the"
        " point's table or by `moderate inbox ls --state dead`; when the cause"
        " is mended, run `inbox_admin_job` with action `retry` (or `moderate"
        " inbox retry ID --why …`); what nobody needs any more, `drop`.",
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
)
BROKER_CHECKS = (
    _FlowCheck(
        NO_DEAD_LETTERS,
        "No message was put aside as not understood. To do otherwise: read"
        " the header `x-moderate-reason` of the messages in the dead-letter"
        " queue, tell their sender, and purge the queue.",
        _no_dead_letters,
        AssetCheckSeverity.WARN,
    ),
)
SCHEDULED_CHECKS = (
    _FlowCheck(
        LAST_RUN_SUCCEEDED,
        "The last run of each of the flow's jobs that ended has succeeded."
        " To do otherwise: read why in the run, under *Runs*; see by `moderate"
        " doctor` whether its peers answer; when the cause is mended, launch"
        " the job (with `force` to bring all over again), or wait for its"
        " schedule: what was done is not done again.",
        _last_run,
        AssetCheckSeverity.ERROR,
    ),
)
SERVICE_CHECKS = (
    _FlowCheck(
        NO_RUN_FAILED,
        "No run of a data service failed within a day. To do otherwise: read"
        " why in the run, under *Runs*; it is most often in what the run was"
        " given, so tell whoever launched it.",
        _no_run_failed,
        AssetCheckSeverity.WARN,
    ),
)


def _checks_of(flow: str) -> Sequence[_FlowCheck]:
    """Return a flow's checks: those that can fail."""
    if flow == DATA_SERVICES:
        return SERVICE_CHECKS
    if flow in SCHEDULED:
        return SCHEDULED_CHECKS
    if flow == BROKER_FLOW:
        return (*ITEM_CHECKS, *BROKER_CHECKS)
    return ITEM_CHECKS


def check_specs() -> Iterator[AssetCheckSpec]:
    """Return all checks, each with what to do if it fails."""
    for flow in flows():
        for check in _checks_of(flow):
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


def verdicts(
    numbers: Numbers, runs: RunNumbers, oldest_due: timedelta
) -> Iterator[Verdict]:
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
    for flow in flows_of(numbers):
        if not (flow.has_items and numbers.inbox_problem):
            yield from _of_flow(_Found(flow, runs, oldest_due))
    yield from _of_peers(numbers.peers)


def _of_flow(found: _Found) -> Iterator[Verdict]:
    flow = found.flow.flow
    for check in _checks_of(flow):
        passed, said = check.judge(found)
        yield Verdict(flow_key(flow), check.name, passed, said, check.severity)


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


def dead_point(dead: Sequence[WorkItem], count: int) -> Metadata:
    """Return the table of what is dead, if anything is.

    Args:
        dead: What died last.
        count: How much is dead in all.
    """
    if not dead:
        return {}
    point: dict[str, MetadataValue] = {
        "dead items": MetadataValue.table([_dead_row(item) for item in dead])
    }
    if (more := count - len(dead)) > 0:
        point["more dead items"] = MetadataValue.text(
            f"{more} more: `moderate inbox ls --state dead`"
        )
    return point


def _dead_row(item: WorkItem) -> TableRecord:
    since = item.finished_at or item.updated_at
    return TableRecord(
        {
            "item": item.id,
            "kind": item.kind,
            "key": item.key,
            "since": since.isoformat(timespec="seconds"),
            "reason": (item.last_error or "")[:REASON_CHARS],
            "what to do": "mend the cause, then retry or drop it in"
            f" inbox_admin_job, or `moderate inbox retry {item.id} --why …`",
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
