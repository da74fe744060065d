"""Services of compose/ in place of processes; Docker itself is a stand-in.

No engine is at hand where the tests run. So what is shown is which commands
are given, that a part lives as its container does, and that no container is
left, whatever ends us. That Docker does the same is not shown.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from moderate.local.docker import MARK, PREFERENCE, SERVICES, is_wanted
from moderate.local.ports import free_port, is_open
from moderate.local.process import PartError
from moderate.local.realm import SECRET_NAMES
from moderate.local.services.in_docker import KeycloakInDocker, project_of
from moderate.local.stack import OWN_SECRETS, PORT_NAMES
from moderate_tests.integration.local.engine import Engine, docker
from moderate_tests.integration.local.rig import await_that
from moderate_tests.integration.local.test_stack import (
    ended,
    moderate_local,
)

SECRETS = {name: f"canary-{name}" for name in (*OWN_SECRETS, *SECRET_NAMES)}
SUPERVISOR = """
import pathlib, sys, time
from moderate_tests.integration.local.test_docker import keycloak
part = keycloak(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
part.start()
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with docker() as engine:
        path = f"{engine.folder}:{os.environ['PATH']}"
        monkeypatch.setenv("PATH", path)
        monkeypatch.setenv("DOCKER_HOST", engine.socket)
        monkeypatch.delenv(PREFERENCE, raising=False)
        yield engine


def keycloak(root: Path, port: int) -> KeycloakInDocker:
    """Return the part that is driven here."""
    part = KeycloakInDocker(
        root / "keycloak",
        port=port,
        admin_password=SECRETS["keycloak_admin_password"],
        realm_secrets=SECRETS,
    )
    ports = dict.fromkeys(PORT_NAMES, 1) | {"keycloak": port}
    part.project = project_of(root, ports, SECRETS)
    return part


@pytest.fixture
def part(engine: Engine, tmp_path: Path) -> Iterator[KeycloakInDocker]:
    part = keycloak(tmp_path, free_port())
    yield part
    part.stop()


# Whether


def test_a_new_stack_uses_docker_where_an_engine_answers(
    engine: Engine, tmp_path: Path
) -> None:
    assert is_wanted(tmp_path)
    assert engine.calls == [["info"], ["compose", "version"]]


def test_a_client_without_an_engine_does_not_count(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", str(tmp_path / "nobody"))

    assert not is_wanted(tmp_path)


def test_who_wants_no_docker_gets_none(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / MARK).touch()
    monkeypatch.setenv(PREFERENCE, "never")

    assert not is_wanted(tmp_path)
    assert engine.calls == []


def test_a_stack_goes_on_as_it_began(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data are in volumes, or in its folder; they don't move."""
    begun = tmp_path / "processes" / "postgres" / "data"
    begun.mkdir(parents=True)
    assert not is_wanted(tmp_path / "processes")

    (tmp_path / MARK).touch()
    monkeypatch.setenv("DOCKER_HOST", str(tmp_path / "nobody"))
    assert is_wanted(tmp_path)


# How


def test_a_part_lives_as_its_container_does(
    engine: Engine, part: KeycloakInDocker
) -> None:
    part.start()
    assert part.running
    assert list(engine.containers) == ["keycloak"]

    engine.end("keycloak")
    await_that(lambda: not part.running, "its end is noticed")
    part.start()
    assert is_open(part.port)

    part.stop()
    assert engine.containers == {}
    assert engine.commands[-1] == ["stop", "keycloak"]


def test_a_killed_part_has_no_container_left(
    engine: Engine, part: KeycloakInDocker
) -> None:
    part.start()

    part.kill()

    assert engine.containers == {}
    assert not part.running


def test_containers_end_when_the_supervisor_is_killed(
    engine: Engine, tmp_path: Path
) -> None:
    """They are Docker's children and not ours: the guard has them ended."""
    program = [sys.executable, "-c", SUPERVISOR]
    with subprocess.Popen(
        [*program, str(tmp_path), str(free_port())],
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout
        assert supervisor.stdout.readline() == "up\n"
        supervisor.send_signal(signal.SIGKILL)

    await_that(lambda: not engine.containers, "the container is stopped")


def test_leftovers_go_before_containers_are_made_without_others(
    engine: Engine, part: KeycloakInDocker
) -> None:
    """Alone: what they need of each other the stack does itself."""
    part.project.prepare()

    down, up = engine.commands
    assert down == ["down"]
    assert up[:3] == ["up", "--no-start", "--no-deps"]
    assert up[-len(SERVICES) :] == list(SERVICES)


def test_data_go_only_when_asked_for(
    engine: Engine, part: KeycloakInDocker
) -> None:
    part.project.down()
    part.project.down(volumes=True)

    assert engine.commands == [["down"], ["down", "--volumes"]]


def test_two_stacks_are_two_projects(tmp_path: Path) -> None:
    ports = dict.fromkeys(PORT_NAMES, 1)
    names = {project_of(tmp_path / name, ports, SECRETS).name for name in "ab"}

    assert len(names) == 2


def test_no_secret_is_on_a_command_line(
    engine: Engine, part: KeycloakInDocker
) -> None:
    part.start()
    part.project.prepare()

    assert "canary" not in json.dumps(engine.calls)
    assert "canary" not in repr(part.project)
    assert "canary" not in " ".join(part.process.command)
    assert engine.variables["KEYCLOAK_ADMIN_PASSWORD"].startswith("canary")


def test_the_realm_is_readable_to_the_container_and_to_no_neighbour(
    engine: Engine, part: KeycloakInDocker
) -> None:
    part.start()

    (realm,) = part.imports.iterdir()
    assert engine.variables["REALM_FOLDER"] == str(part.imports)
    # The container's user is another: it reads as `others`.
    assert realm.stat().st_mode & 0o777 == 0o644
    assert part.folder.stat().st_mode & 0o077 == 0


def test_images_that_do_not_come_are_said(
    engine: Engine, part: KeycloakInDocker
) -> None:
    engine.pulls = False

    with pytest.raises(PartError, match="docker: fetching images ended"):
        part.project.prepare()


@pytest.mark.services
def test_where_docker_fails_at_first_the_stack_is_processes(
    engine: Engine, root: Path
) -> None:
    """Nobody's first command fails for a way that he did not choose."""
    engine.pulls = False
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wanted = ("--port", f"s3={port}")
        up = moderate_local("up", "--root", str(root), *wanted, docker=True)
        with ended(up) as told:
            assert "Docker answers" in told
            assert "docker: fetching images ended" in told
            assert "everything as processes" in told
            assert f"s3: port {port} is taken" in told
    assert not (root / MARK).exists()
    assert engine.containers == {}
