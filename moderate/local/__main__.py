"""The local stack's command: ``python -m moderate.local``."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Protocol

import click
from rich.console import Console
from rich.table import Table

from moderate.local import docker, install, ports
from moderate.local.demo import Demo, demo_stack
from moderate.local.leftovers import end_leftovers
from moderate.local.lock import FolderLock
from moderate.local.process import PartError
from moderate.local.reporting import Reporter, reporting, say
from moderate.local.services.keycloak import fetch_distribution
from moderate.local.services.s3 import (
    VERSITYGW,
    S3Program,
    choose_program,
)
from moderate.local.stack import PORT_NAMES, Stack, StackRunsError

FAILED = 1
WATCH_SECONDS = 1.0
DOWN_SECONDS = 90.0
POLL_SECONDS = 0.2
# A part that ends by itself is started again, but not in a tight loop.
RESTARTS_AT_MOST = 5
IN_DOCKER = (
    "Docker answers: Postgres, RabbitMQ, Keycloak and S3 are containers of"
    " compose/. This way\nis tested without an engine;"
    f" {docker.PREFERENCE}={docker.NEVER} makes them processes."
)
NOT_IN_DOCKER = "With Docker it did not start; now everything as processes."

root_option = click.option(
    "--root",
    type=click.Path(path_type=Path),
    default=Path(".local"),
    show_default=True,
    envvar="MODERATE_LOCAL_ROOT",
    help="The folder of all data, logs, ports and secrets.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The whole platform on this machine."""


@main.command("install")
@click.option("--tests", is_flag=True, help="Also what only tests need.")
def install_command(*, tests: bool) -> None:
    """Install, fetch and build what this machine lacks."""
    install.ensure(install.TESTS if tests else install.STACK, say)
    if choose_program() is S3Program.VERSITYGW:
        VERSITYGW.build(say)
    fetch_distribution(say)


@main.command()
@root_option
@click.option(
    "--port",
    "given",
    multiple=True,
    metavar="NAME=NUMBER",
    help=f"A wanted port, of: {', '.join(PORT_NAMES)}.",
)
@click.option("--detach", is_flag=True, help="Return once it is up.")
@click.option("--fast", is_flag=True, help="With the fast path.")
def up(
    *, root: Path, given: tuple[str, ...], detach: bool, fast: bool
) -> None:
    """Start everything and stay until Ctrl-C."""
    wanted = dict(_parse_port(each) for each in given)
    if detach:
        _detach(root, given, fast=fast)
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    begun = time.monotonic()

    def make(reporter: Reporter, *, in_docker: bool) -> Stack:
        return Stack(
            root,
            ports=wanted,
            reporter=reporter,
            fast=fast,
            in_docker=in_docker,
        )

    stack = _started(root, make)
    try:
        _show(stack)
        say(f"Up after {time.monotonic() - begun:.0f} s; Ctrl-C stops it.")
        _watch(stack)
    except KeyboardInterrupt:
        say("Stopping.")
    finally:
        stack.stop()


@main.command()
@root_option
@click.option("--leave", is_flag=True, help="Stop everything at the end.")
def demo(*, root: Path, leave: bool) -> None:
    """Start everything, send real data through, show what became of it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)

    def make(reporter: Reporter, *, in_docker: bool) -> Stack:
        return demo_stack(root, reporter, in_docker=in_docker)

    stack = _started(root, make)
    try:
        show = Demo(stack, say)
        show.run()
        console = Console(width=None if sys.stdout.isatty() else 160)
        console.print(show.closing())
        say(f"See every run in the Dagster UI: {stack.webserver.url}/runs")
        if not leave:
            say("Ctrl-C stops everything.")
            _watch(stack)
    except KeyboardInterrupt:
        say("Stopping.")
    finally:
        stack.stop()


@main.command()
@root_option
@click.option("--volumes", is_flag=True, help="Also delete data in Docker.")
def down(*, root: Path, volumes: bool) -> None:
    """Stop a stack that runs elsewhere, and end what a crash left."""
    lock = FolderLock(root.absolute())
    deadline = time.monotonic() + DOWN_SECONDS
    asked = None
    while (holder := lock.holder()) is not None:
        if holder != asked:
            _signal(holder)
            asked = holder
        if time.monotonic() > deadline:
            raise click.ClickException(f"process {holder} does not end")
        time.sleep(POLL_SECONDS)
    left = end_leftovers(root.absolute())
    if docker.is_wanted(root):
        Stack(root).end_containers(volumes=volumes)
    if left:
        say(f"Ended {left} processes of an earlier crash.")
    say("Down." if asked or left else "Nothing was running.")


@main.command()
@root_option
def status(*, root: Path) -> None:
    """Show which parts answer, where, and where their logs are."""
    holder = FolderLock(root.absolute()).holder()
    running = holder is not None
    say(f"up (process {holder})" if running else "down")
    if running:
        _show(Stack(root))
    sys.exit(0 if running else FAILED)


@main.command()
@root_option
def env(*, root: Path) -> None:
    """Print the stack's variables, with secrets, for a shell to read."""
    for name, value in Stack(root).env.items():
        say(f"export {name}={shlex.quote(value)}")


class _Make(Protocol):
    """Makes the stack that is to start."""

    def __call__(self, reporter: Reporter, *, in_docker: bool) -> Stack: ...


def _started(root: Path, make: _Make) -> Stack:
    """Start a stack: with Docker where that answers, else as processes."""
    if docker.is_wanted(root):
        say(IN_DOCKER)
        try:
            return _start(make, in_docker=True)
        except PartError as failure:
            # What has begun in Docker has its data there.
            if (root / docker.MARK).exists():
                raise
            say(f"{failure}\n{NOT_IN_DOCKER}")
    install.ensure(install.STACK, say)
    return _start(make, in_docker=False)


def _start(make: _Make, *, in_docker: bool) -> Stack:
    with reporting() as reporter:
        stack = make(reporter, in_docker=in_docker)
        stack.start()
    return stack


def _show(stack: Stack) -> None:
    table = Table("part", "answers", "address", "log")
    for part in stack.parts:
        served = part.ports[:1]
        answers = all(ports.is_open(port) for port in served)
        # The daemon has no port; while the stack is up it is watched.
        word = "yes" if answers else "[red]no[/]"
        address = str(getattr(part, "url", "") or "")
        if not address.startswith("http"):
            address = f"{ports.LOOPBACK}:{served[0]}" if served else ""
        table.add_row(part.name, word, address, str(part.log))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _watch(stack: Stack) -> None:
    """Start parts again that end by themselves, until interrupted."""
    restarts = 0
    while True:
        time.sleep(WATCH_SECONDS)
        for part in stack.dead():
            say(str(part.process.failure("ended by itself")))
            restarts += 1
            if restarts > RESTARTS_AT_MOST:
                raise part.process.failure("ends again and again")
            part.start()
            say(f"{part.name}: started again")


def _detach(root: Path, given: tuple[str, ...], *, fast: bool) -> None:
    root.mkdir(parents=True, exist_ok=True)
    log = root / "stack.log"
    command = [sys.executable, "-m", "moderate.local", "up"]
    command += ["--root", str(root)]
    for each in given:
        command += ["--port", each]
    if fast:
        command += ["--fast"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    shown = 0
    while "Ctrl-C stops it." not in (text := log.read_text()):
        ended = process.poll() is not None
        sys.stdout.write(text[shown:])
        shown = len(text)
        if ended:
            raise click.ClickException("the stack did not start")
        time.sleep(POLL_SECONDS)
    sys.stdout.write(text[shown:])


def _parse_port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in PORT_NAMES or not number.isdigit():
        wanted = f"NAME=NUMBER with a name of: {', '.join(PORT_NAMES)}"
        raise click.BadParameter(f"{text!r}; expected {wanted}")
    return name, int(number)


def _signal(pid: int) -> None:
    say(f"Stopping process {pid}.")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        main()
    except (PartError, install.InstallError, StackRunsError) as failure:
        click.echo(f"\n{failure}", err=True)
        sys.exit(FAILED)
