"""The whole stack, as a person starts and stops it."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import httpx
import psycopg
import pytest

from moderate.local.docker import NEVER, PREFERENCE
from moderate.local.leftovers import end_leftovers, marked_processes
from moderate.local.ports import free_port
from moderate.local.services.base import MARKER
from moderate.local.services.postgres import Postgres
from moderate.local.services.rabbitmq import RabbitMQ
from moderate_tests.integration.local.rig import await_that, lives

UP_SECONDS = 150
DOWN_SECONDS = 60


class Command(subprocess.Popen[str]):
    """A process that does not outlive a test that fails."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)


def moderate_local(*arguments: str, docker: bool = False) -> Command:
    environment = dict(os.environ)
    if not docker:
        # Also on a machine that has it.
        environment[PREFERENCE] = NEVER
    return Command(
        [sys.executable, "-m", "moderate.local", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


@contextmanager
def ended(process: Command) -> Iterator[str]:
    """What a command has printed until its end."""
    with process:
        text, _ = process.communicate(timeout=DOWN_SECONDS)
    yield text


def read_until(process: Command, sign: str) -> str:
    """Read what a command prints up to a line that holds ``sign``."""
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if sign in line:
            return "".join(lines)
    message = f"ended without {sign!r}:\n{''.join(lines)}"
    raise AssertionError(message)


@pytest.mark.e2e
@pytest.mark.services
def test_up_serves_all_parts_and_leaves_nothing_after_ctrl_c(
    root: Path,
) -> None:
    process = moderate_local("up", "--root", str(root))
    with process:
        told = read_until(process, "Ctrl-C stops it.")
        addresses = re.findall(r"│ (\S+) +│ yes +│ (\S*) +│", told)
        served = dict(addresses)
        assert list(served) == [
            "postgres",
            "keycloak",
            "rabbitmq",
            "s3",
            "platform-api",
            "open-metadata",
            "dagster-code",
            "dagster-webserver",
            "dagster-daemon",
        ]
        ui = served["dagster-webserver"]
        query = "{workspaceOrError{...on Workspace{locationEntries{name}}}}"
        answer = httpx.post(
            f"{ui}/graphql", json={"query": query}, timeout=60
        ).json()
        assert answer["data"]["workspaceOrError"]["locationEntries"]

        with ended(moderate_local("up", "--root", str(root))) as second:
            assert f"already (process {process.pid})" in second
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert "Stopping." in process.stdout.read()
    assert process.returncode == 0
    assert marked_processes(root) == []


@pytest.mark.e2e
@pytest.mark.full
@pytest.mark.services
def test_a_second_start_keeps_everything_after_a_kill(root: Path) -> None:
    with moderate_local("up", "--root", str(root)) as first:
        read_until(first, "Ctrl-C stops it.")
        ports = json.loads((root / "ports.json").read_text())
        secrets = json.loads((root / "secrets.json").read_text())
        url = (
            f"postgresql://moderate:{secrets['postgres_password']}"
            f"@127.0.0.1:{ports['postgres']}/postgres"
        )
        with psycopg.connect(url) as connection:
            connection.execute("create table kept as select 42 as answer")
        first.kill()
    await_that(lambda: not marked_processes(root), "everything has ended")
    with ended(moderate_local("up", "--root", str(root), "--detach")) as told:
        assert "Up after" in told
    assert json.loads((root / "ports.json").read_text()) == ports
    with psycopg.connect(url) as connection:
        assert connection.execute("select * from kept").fetchone() == (42,)
    with ended(moderate_local("down", "--root", str(root))) as told:
        assert "Down." in told
    assert marked_processes(root) == []


@pytest.mark.services
def test_a_part_whose_port_is_taken_is_named_and_nothing_is_left(
    root: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wanted = f"keycloak={port}"
        process = moderate_local("up", "--root", str(root), "--port", wanted)
        with ended(process) as told:
            reason = f"port {port} is taken by another program"
            assert f"keycloak: {reason}" in told
    assert process.returncode == 1
    assert marked_processes(root) == []
    # It was written before the first part started.
    mode = (root / "secrets.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.services
def test_down_and_status_of_nothing_say_so(root: Path) -> None:
    with ended(moderate_local("down", "--root", str(root))) as told:
        assert "Nothing was running." in told
    status = moderate_local("status", "--root", str(root))
    with ended(status) as told:
        assert told == "down\n"
    assert status.returncode == 1


@pytest.mark.services
def test_two_of_a_kind_do_not_meet(
    postgres_server: Postgres, rabbitmq: RabbitMQ, root: Path
) -> None:
    """Own ports, folders, node names, port mappers and cookies."""
    with (
        Postgres(root / "postgres", port=free_port(), password="other") as one,
        RabbitMQ(
            root / "rabbitmq",
            port=free_port(),
            distribution_port=free_port(),
            mapper_port=free_port(),
            password="other",
        ) as other,
    ):
        assert one.port != postgres_server.port
        other.kill()
        one.kill()
        assert postgres_server.running
        assert rabbitmq.running
    with psycopg.connect(postgres_server.url("postgres")) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.services
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has such a problem")
def test_postgres_works_in_a_folder_that_only_root_may_pass(
    root: Path,
) -> None:
    """As a clone in root's home: Postgres itself does not run as root."""
    closed = root / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    with Postgres(
        closed / "postgres", port=free_port(), password="secret"
    ) as server:
        with psycopg.connect(server.url("postgres")) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert server.process.pid is not None
        owner = Path(f"/proc/{server.process.pid}").stat().st_uid
        assert owner != 0


def test_only_leftovers_of_the_same_folder_are_ended(tmp_path: Path) -> None:
    """What is left when supervisor and guards were killed all at once."""

    def marked(folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "input()"],
            stdin=subprocess.PIPE,
            env={MARKER: str(folder)},
        )

    ours, other = tmp_path / "local", tmp_path / "local-2"
    with marked(ours / "s3") as left, marked(other / "s3") as alien:
        assert end_leftovers(ours, patience=0) == 1
        assert not lives(left.pid)
        assert alien.poll() is None
        alien.kill()
