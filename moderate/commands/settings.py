"""``moderate settings``: what the service was told, and what is on."""

from collections.abc import Iterator
from datetime import timedelta

import click
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table

from moderate.commands.text import plain
from moderate.settings import (
    GROUPS,
    Group,
    Settings,
    is_secret,
    load_settings,
)

HIDDEN = "(set, hidden)"
ABSENT = "-"
HEADING = """# Settings

Every setting is an environment variable. A group whose required variables are
all absent is off, and so are the flows that need it; `moderate settings`
shows which. An empty value counts as absent. Times are in seconds.

This page is made by `./scripts/task docs`.
"""


@click.command()
@click.option(
    "--markdown", is_flag=True, help="Describe all settings, as docs/ has it."
)
def settings(markdown: bool) -> None:  # noqa: FBT001  # click's way
    """Show every setting, and which flows are on.

    Secrets are not shown. Fails with a list of all faults if a setting is
    missing or wrong.
    """
    if markdown:
        click.echo(describe_settings(), nl=False)
        return
    loaded = load_settings()
    console = Console(soft_wrap=False)
    console.print(_settings_table(loaded))
    console.print(_flows_table(loaded))


def _settings_table(loaded: Settings) -> Table:
    table = Table("variable", "value", "meaning", title="Settings")
    for name, group in GROUPS.items():
        table.add_section()
        for variable, value, meaning in _rows(getattr(loaded, name), group):
            table.add_row(variable, plain(value), plain(meaning))
    return table


def _rows(
    values: Group | None, group: type[Group]
) -> Iterator[tuple[str, str, str]]:
    for attribute, field in group.model_fields.items():
        value = getattr(values, attribute) if values else ABSENT
        yield str(field.alias), _show(value), field.description or ""


def _show(value: object) -> str:
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or ABSENT
    return str(value) or ABSENT


def _flows_table(loaded: Settings) -> Table:
    table = Table("flow", "state", title="Flows")
    for flow in loaded.flows():
        table.add_row(flow.name, "on" if flow.is_on else flow.why_off())
    return table


def describe_settings() -> str:
    """Return the page ``docs/settings.md``."""
    sections = "\n".join(_section(group) for group in GROUPS.values())
    return f"{HEADING}\n{sections}"


def _section(group: type[Group]) -> str:
    rows = "".join(
        f"| `{variable}` | {_default(field)} | {field.description} |\n"
        for variable, field in group.variables().items()
    )
    return (
        f"## {group.title}\n\n| variable | default | meaning |\n"
        f"|---|---|---|\n{rows}"
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required, secret" if is_secret(field) else "required"
    value = field.default
    if isinstance(value, timedelta):
        return f"`{value.total_seconds():g}`"
    return "" if value in {"", (), None} else f"`{value}`"
