"""``moderate settings``: what the service was told, and what is on."""

from collections.abc import Iterator

import click
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from moderate.settings import GROUPS, Group, Settings, load_settings

HIDDEN = "(set, hidden)"
ABSENT = "-"


@click.command()
def settings() -> None:
    """Show every setting, and which flows are on.

    Secrets are not shown. Fails with a list of all faults if a setting is
    missing or wrong.
    """
    loaded = load_settings()
    console = Console(soft_wrap=False)
    console.print(_settings_table(loaded))
    console.print(_flows_table(loaded))


def _settings_table(loaded: Settings) -> Table:
    table = Table("variable", "value", "meaning", title="Settings")
    for name, group in GROUPS.items():
        table.add_section()
        for variable, value, meaning in _rows(getattr(loaded, name), group):
            table.add_row(variable, value, meaning)
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
