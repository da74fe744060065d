"""``moderate doctor``: check an installation, and say what to do."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from moderate.commands.text import plain
from moderate.kinds import all_kinds
from moderate.settings import load_settings
from moderate.watch.doctor import examine
from moderate.watch.findings import Finding, Grade

UNWELL = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:  # noqa: FBT001  # click's way
    """Check settings, peers, inbox, queue and clocks.

    Ends with 0 if there is no fault, with 1 if something is to be mended.
    Flows that are off are no fault.
    """
    settings = load_settings()
    found = list(examine(settings, all_kinds(settings)))
    faults = [each for each in found if each.grade is Grade.FAULT]
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
    else:
        _show(found)
        click.echo(f"{len(faults)} fault(s)")
    if faults:
        raise SystemExit(UNWELL)


def _show(found: Sequence[Finding]) -> None:
    table = Table("check", "", "found", "what to do", title="Doctor")
    for each in found:
        table.add_row(
            each.check, each.grade, plain(each.found), plain(each.advice)
        )
    Console().print(table)
