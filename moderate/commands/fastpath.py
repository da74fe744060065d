"""``moderate worker`` and ``moderate intake``: the fast path's processes."""

import os
import sys
from pathlib import Path

import click

CODE_MODULE = "moderate.definitions"

alive_file_option = click.option(
    "--alive-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Touched every two seconds while all is well, for probes.",
)


@click.command()
@click.option(
    "--module",
    default=CODE_MODULE,
    show_default=True,
    help="The Python module of the definitions, as the code server has it.",
)
@alive_file_option
def worker(module: str, alive_file: Path | None) -> None:
    """Take runs and have them begun by a process that is warm.

    Ends gently on SIGTERM. Any number may run; see docs/fast-path.md.
    """
    # Light commands must not wait for Dagster to be imported.
    from moderate.fastpath.commands import STALE, work  # noqa: PLC0415

    ended_with = work(module, alive_file)
    if ended_with == STALE:
        # In place, as the supervisor of this process may have none.
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606
    sys.exit(ended_with)


@click.command()
@click.option(
    "--code-server",
    metavar="HOST:PORT",
    help="Where the code server listens.",
)
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The file that names it, as Dagster's daemon has it.",
)
@alive_file_option
def intake(
    code_server: str | None, workspace: Path | None, alive_file: Path | None
) -> None:
    """Take messages as they come, and start what is due at once.

    Ends gently on SIGTERM. Any number may run; see docs/fast-path.md.
    """
    # Light commands must not wait for Dagster to be imported.
    from moderate.fastpath import commands, submitting  # noqa: PLC0415

    if workspace:
        commands.take_in(submitting.workspace_file(workspace), alive_file)
        return
    host, _, port = (code_server or "").rpartition(":")
    if not (host and port.isdigit()):
        msg = "name --code-server HOST:PORT, or --workspace FILE"
        raise click.UsageError(msg)
    target = submitting.code_server(host, int(port))
    commands.take_in(target, alive_file)
