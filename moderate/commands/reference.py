"""``moderate migrate-from-reference``: go on where the reference stood."""

import json
from dataclasses import asdict, replace

import click
from psycopg.conninfo import make_conninfo

from moderate import reference
from moderate.commands.text import plain
from moderate.connections import inbox_address
from moderate.inbox.store import Inbox
from moderate.kinds import all_kinds
from moderate.reference import Plan, Taken
from moderate.settings import load_settings

NOTHING_WRITTEN = "nothing was written: say --apply to take it over"


@click.command("migrate-from-reference")
@click.option(
    "--database",
    default=reference.DATABASE,
    show_default=True,
    help="The reference's state, on the server of POSTGRES_HOST.",
)
@click.option(
    "--apply",
    "is_meant",
    is_flag=True,
    help="Write it. Without, all is tried and taken back.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of text."
)
def migrate_from_reference(
    database: str,
    is_meant: bool,  # noqa: FBT001  # click passes options by name
    as_json: bool,  # noqa: FBT001
) -> None:
    """Take over what the reference implementation has done.

    Users with a DID become done items, uploads are remembered, so that
    nothing is registered or uploaded again. The reference's database is only
    read. May be repeated: what is known stays as it is.

    It is done once, by a person, on what runs in production: so it only
    shows what it would do until it is told to --apply.
    """
    settings = load_settings()
    where = inbox_address(settings)
    source = replace(
        where, conninfo=make_conninfo(where.conninfo, dbname=database)
    )
    plan = reference.plan(reference.read_state(source))
    inbox = Inbox(where, all_kinds(settings))
    with inbox.transaction() as conn:
        taken = reference.take_over(conn, inbox, plan)
        if not is_meant:
            conn.rollback()
    say = _print_json if as_json else _print_text
    say(plan, taken, is_meant=is_meant)


def _print_json(plan: Plan, taken: Taken, *, is_meant: bool) -> None:
    facts = {"applied": is_meant, "plan": asdict(plan), "taken": asdict(taken)}
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False))


def _print_text(plan: Plan, taken: Taken, *, is_meant: bool) -> None:
    found = len(plan.users) + len(plan.uploads) + len(plan.left_out)
    lines = [
        f"{found} rows found",
        (
            f"users with a DID: {taken.users} taken over,"
            f" {taken.known_users} known already,"
            f" {len(taken.open_users)} left as they are"
        ),
        *(
            f"  {name}: its item is {state}"
            for name, state in taken.open_users.items()
        ),
        (
            f"uploads: {taken.uploads} taken over,"
            f" {taken.known_uploads} known already"
        ),
        f"rows left out: {len(plan.left_out)}",
        *(
            f"  row {each.row}, {each.key!r}: {each.why}"
            for each in plan.left_out
        ),
    ]
    if not is_meant:
        lines.append(NOTHING_WRITTEN)
    click.echo("\n".join(str(plain(line)) for line in lines))
