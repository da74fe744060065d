"""The ``moderate`` command."""

import logging
import sys

import click

from moderate.commands.doctor import doctor
from moderate.commands.fastpath import intake, worker
from moderate.commands.inbox import inbox
from moderate.commands.metrics import metrics
from moderate.commands.reference import migrate_from_reference
from moderate.commands.settings import settings
from moderate.commands.status import status
from moderate.errors import ModerateError, SettingsError
from moderate.redaction import Redactor
from moderate.settings import load_settings

FAILED = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="moderate")
def cli() -> None:
    """Event-driven workers of a building-energy data space."""


cli.add_command(doctor)
cli.add_command(inbox)
cli.add_command(metrics)
cli.add_command(migrate_from_reference)
cli.add_command(settings)
cli.add_command(status)
cli.add_command(intake)
cli.add_command(worker)


def main() -> None:
    """Run the command; an error of ours is one line, not a traceback."""
    # It logs each attempt to connect; the error that is raised says it all.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    try:
        cli(standalone_mode=True)
    except ModerateError as error:
        click.echo(f"moderate: {_redacted(error)}", err=True)
        sys.exit(FAILED)


def _redacted(error: ModerateError) -> str:
    if isinstance(error, SettingsError):
        return str(error)  # shows no secret by itself
    return Redactor(load_settings().secrets()).redact(str(error))
