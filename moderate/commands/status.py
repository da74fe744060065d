"""``moderate status``: the numbers that the UI shows."""

import json
from collections.abc import Iterator
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from moderate.commands.text import plain
from moderate.kinds import all_kinds
from moderate.settings import load_settings
from moderate.watch.numbers import FlowNumbers, Numbers, PeerNumbers, look

UNWELL = 1
NUMBERS = {
    "pending": "pending",
    "due": "due",
    "oldest due": "oldest_due_seconds",
    "dispatched": "dispatched",
    "running": "running",
    "done, last hour": "done_last_hour",
    "attempts": "attempts_per_done",
    "dead": "dead",
    "in queue": "queue_messages",
    "dead letters": "dead_letters",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:  # noqa: FBT001  # click's way
    """Show what waits, runs and fails, and whether the peers answer.

    Ends with 1 if the inbox can't be read, with 0 otherwise.
    """
    settings = load_settings()
    numbers = look(settings, all_kinds(settings))
    if as_json:
        click.echo(json.dumps(facts(numbers), indent=2))
    else:
        console = Console()
        console.print(_flows_table(numbers))
        for flow in numbers.flows:
            if not flow.is_on:
                console.print(plain(flow.why_off))
        console.print(_peers_table(numbers.peers))
        if (since := numbers.seconds_since_tick) is not None:
            said = f"daemon and code server were at work {since:.0f} s ago"
            console.print(plain(said))
        if numbers.inbox_problem:
            problem = f"the inbox can't be read: {numbers.inbox_problem}"
            console.print(plain(problem))
    if numbers.inbox_problem:
        raise SystemExit(UNWELL)


def facts(numbers: Numbers) -> dict[str, object]:
    """Return the numbers as plain values."""
    plain_facts = asdict(numbers)
    del plain_facts["probes"]
    return plain_facts


def _flows_table(numbers: Numbers) -> Table:
    table = Table("flow", "state", *NUMBERS, title="Flows")
    for flow in numbers.flows:
        state = "on" if flow.is_on else "off"
        known = flow.has_items and not numbers.inbox_problem
        table.add_row(flow.flow, state, *_cells(flow, known=known))
    return table


def _cells(flow: FlowNumbers, *, known: bool) -> Iterator[str]:
    for name in NUMBERS.values():
        value = getattr(flow, name)
        if value is None or not known:
            yield "-"
        elif name == "oldest_due_seconds":
            yield f"{value:.0f} s"
        elif name == "attempts_per_done":
            yield f"{value:.1f}"
        else:
            yield str(value)


def _peers_table(peers: tuple[PeerNumbers, ...]) -> Table:
    table = Table("peer", "answers in", "error rate", "state", title="Peers")
    for peer in peers:
        table.add_row(
            peer.peer,
            f"{peer.seconds:.2f} s",
            f"{peer.error_rate:.0%}",
            plain(peer.problem or "well"),
        )
    return table
