"""``moderate inbox``: look at work items, retry and drop them by hand."""

import getpass
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from moderate.commands.text import plain
from moderate.connections import inbox_address
from moderate.inbox import admin
from moderate.inbox.database import Address
from moderate.inbox.migrate import migrate as migrate_schema
from moderate.inbox.model import State, WorkItem
from moderate.inbox.store import Inbox
from moderate.kinds import all_kinds
from moderate.settings import Settings, load_settings

ERROR_CHARS = 60
IN_A_POD = "KUBERNETES_SERVICE_HOST"
"""Set by Kubernetes in every container."""

FORGET_WHY = "by hand"

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of a table."
)


def _who(_: click.Context, __: click.Parameter, given: str | None) -> str:
    """Return who acts: as told, or whose account this is."""
    if given and given.strip():
        return given.strip()
    if IN_A_POD in os.environ:
        # Its account is everybody's: a record of it would say nothing.
        msg = "say who you are: give --who, or set MODERATE_WHO"
        raise click.UsageError(msg)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that no file knows
        return f"uid {os.getuid()}"


def _why(_: click.Context, __: click.Parameter, given: str) -> str:
    if not given.strip():
        msg = "a reason is needed"
        raise click.BadParameter(msg)
    return given.strip()


who_option = click.option(
    "--who",
    envvar="MODERATE_WHO",
    callback=_who,
    help="Your name; kept in the audit. By default MODERATE_WHO, or this"
    " account's name; in a pod it has to be given.",
)
why_option = click.option(
    "--why", required=True, callback=_why, help="The reason; kept as well."
)
ids_argument = click.argument("item_ids", nargs=-1, required=True, type=int)


def _inbox() -> Inbox:
    settings = load_settings()
    return Inbox(inbox_address(settings), all_kinds(settings))


def _address(settings: Settings) -> Address:
    return inbox_address(settings)


@click.group()
def inbox() -> None:
    """Look at work items; retry and drop them."""


@inbox.command()
def migrate() -> None:
    """Create the inbox's database, or bring its schema up to date."""
    applied = migrate_schema(inbox_address(load_settings()))
    for name in applied:
        click.echo(f"applied {name}")
    click.echo("the inbox's schema is up to date")


@inbox.command("ls")
@click.option("--kind", help="Only items of this kind.")
@click.option(
    "--state",
    type=click.Choice([state.value for state in State]),
    help="Only items in this state.",
)
@click.option("--dropped", is_flag=True, help="Tombstones too.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Rows.",
)
@json_option
def list_items(
    kind: str | None,
    state: str | None,
    dropped: bool,  # noqa: FBT001  # click passes options by name
    limit: int,
    as_json: bool,  # noqa: FBT001
) -> None:
    """List items, the latest change first, and count them."""
    with _inbox().transaction() as conn:
        items = admin.list_items(
            conn,
            kind=kind,
            state=State(state) if state else None,
            dropped=dropped,
            limit=limit,
        )
        counts = admin.count_items(conn)
    if as_json:
        _print_json([_plain(item) for item in items])
        return
    console = Console()
    console.print(_items_table(items))
    for count in counts:
        console.print(plain(f"{count.kind}: {count.items} {count.state}"))


@inbox.command()
@click.argument("item_id", type=int)
@json_option
def show(item_id: int, as_json: bool) -> None:  # noqa: FBT001
    """Show all that is known of an item."""
    with _inbox().transaction() as conn:
        item = admin.get_item(conn, item_id)
        audit = admin.audit_of(conn, item_id)
    if item is None:
        raise _no_item(item_id)
    facts = {**_plain(item), "audit": [_dates(asdict(a)) for a in audit]}
    if as_json:
        _print_json(facts)
        return
    table = Table("field", "value", title=f"item {item_id}")
    for name, value in facts.items():
        text = value if isinstance(value, str) else json.dumps(value)
        table.add_row(name, plain(text))
    Console().print(table)


@inbox.command()
@ids_argument
@who_option
@why_option
def retry(item_ids: tuple[int, ...], who: str, why: str) -> None:
    """Try dead, cancelled or waiting items again, failures reset."""
    with _inbox().transaction() as conn, _said():
        admin.retry_items(conn, item_ids, who=who, why=why)
    click.echo(f"{len(item_ids)} item(s) are due again")


@inbox.command()
@ids_argument
@who_option
@why_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(
    item_ids: tuple[int, ...],
    who: str,
    why: str,
    yes: bool,  # noqa: FBT001
) -> None:
    """Give items up for good; a tombstone stays.

    An item that was still to be done ends cancelled, and whoever waits for
    it is told so.
    """
    if not yes:
        click.confirm(f"Drop {len(item_ids)} item(s) for good?", abort=True)
    store = _inbox()
    with store.transaction() as conn, _said():
        admin.drop_items(conn, store.kinds, item_ids, who=who, why=why)
    click.echo(f"{len(item_ids)} item(s) dropped")


@inbox.command("forget-cursor")
@click.argument("name")
@who_option
@click.option(
    "--why",
    default=FORGET_WHY,
    callback=_why,
    show_default=True,
    help="The reason; kept in the audit.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget_cursor(
    name: str,
    who: str,
    why: str,
    yes: bool,  # noqa: FBT001
) -> None:
    """Remove a cursor: its source is looked at again from the start."""
    if not yes:
        click.confirm(f"Forget cursor {name}?", abort=True)
    with _inbox().transaction() as conn:
        if not admin.forget_cursor(conn, name, who=who, why=why):
            msg = f"there is no cursor {name}"
            raise click.ClickException(msg)
    click.echo(f"cursor {name} is forgotten")


@inbox.command()
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Rows.",
)
@json_option
def audit(limit: int, as_json: bool) -> None:  # noqa: FBT001
    """List what people did by hand, the latest first: who, when and why."""
    with _inbox().transaction() as conn:
        found = admin.list_audit(conn, limit=limit)
    if as_json:
        _print_json([_dates(asdict(each)) for each in found])
        return
    table = Table("at", "who", "did", "to", "why")
    for each in found:
        to = (
            f"item {each.item_id}" if each.item_id else f"cursor {each.cursor}"
        )
        at = each.at.strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(
            at, plain(each.who), each.action, plain(to), plain(each.why)
        )
    Console().print(table)


@contextmanager
def _said() -> Iterator[None]:
    """Say what an item's state forbids; the transaction rolls back."""
    try:
        yield
    except admin.WrongStateError as error:
        raise click.ClickException(str(error)) from None


def _no_item(item_id: int) -> click.ClickException:
    return click.ClickException(f"there is no item {item_id}")


def _items_table(items: Iterable[WorkItem]) -> Table:
    table = Table("id", "kind", "key", "state", "tries", "changed", "error")
    for item in items:
        table.add_row(
            str(item.id),
            plain(item.kind),
            plain(item.key),
            item.state,
            str(item.dispatch),
            item.updated_at.strftime("%Y-%m-%d %H:%M:%S"),
            plain((item.last_error or "")[:ERROR_CHARS]),
        )
    return table


def _plain(item: WorkItem) -> dict[str, Any]:
    return _dates(asdict(item))


def _dates(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in facts.items()
    }


def _print_json(facts: object) -> None:
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
