"""The services of compose/ in place of processes of ours, where Docker is.

Postgres, RabbitMQ, Keycloak and the S3 server of a stack can be containers
of ``compose/compose.yaml``: then a machine needs no more of them than Docker.
The emulators and Dagster stay processes. Each stack is a Compose project of
its own, with its own ports, passwords and volumes.
"""

import hashlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moderate.local.command import run_to_end
from moderate.local.services.base import ignore

COMPOSE = Path(__file__).parents[2] / "compose"
PART = "docker"
SERVICES = ("postgres", "rabbitmq", "keycloak", "s3")
PREFERENCE = "MODERATE_LOCAL_DOCKER"
NEVER = "never"
#: In a stack's folder: its data are in volumes of Docker.
MARK = "in-docker"
ANSWER_SECONDS = 20
PULL_SECONDS = 1800.0
DOWN_SECONDS = 120.0
# How the client finds the engine.
ENGINE_VARIABLES = re.compile(r"DOCKER_\w+|HOME|XDG_\w+|PATH")


@dataclass(frozen=True)
class Project:
    """The containers, network and volumes of one stack.

    Attributes:
        root: The stack's folder.
        variables: What ``compose.yaml`` wants to know, with passwords.
    """

    root: Path
    variables: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """What Docker calls it."""
        digest = hashlib.sha256(str(self.root.absolute()).encode())
        return f"moderate-{digest.hexdigest()[:12]}"

    @property
    def command(self) -> tuple[str, ...]:
        """The program and its arguments, up to a command of Compose."""
        folder = ("--project-directory", str(COMPOSE))
        return ("docker", "compose", *folder, "--project-name", self.name)

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of that program."""
        found = {
            name: value
            for name, value in os.environ.items()
            if ENGINE_VARIABLES.fullmatch(name)
        }
        return {**found, **self.variables}

    def prepare(
        self,
        say: Callable[[str], None] = ignore,
        cancelled: threading.Event | None = None,
    ) -> None:
        """Fetch images, make containers; what a crash left goes first.

        Raises:
            PartError: That did not work.
        """
        self.down()
        self._run(
            "fetching images",
            # What these need beside each other the stack sees to itself.
            *("up", "--no-start", "--no-deps", "--quiet-pull", *SERVICES),
            timeout=PULL_SECONDS,
            say=say,
            cancelled=cancelled,
        )

    def down(self, *, volumes: bool = False) -> None:
        """Remove the containers, and the data too if asked to.

        Raises:
            PartError: That did not work.
        """
        more = ("--volumes",) if volumes else ()
        self._run("removing containers", "down", *more, timeout=DOWN_SECONDS)

    def kill(self, service: str) -> None:
        """Kill one container, as a crash would."""
        what = f"killing {service}"
        self._run(what, "kill", service, timeout=DOWN_SECONDS)

    def _run(
        self,
        what: str,
        *arguments: str,
        timeout: float,
        say: Callable[[str], None] = ignore,
        cancelled: threading.Event | None = None,
    ) -> None:
        run_to_end(
            PART,
            what,
            [*self.command, *arguments],
            environment=self.environment,
            folder=COMPOSE,
            log=self.root / "logs" / "docker.log",
            timeout=timeout,
            say=say,
            cancelled=cancelled,
        )


def is_wanted(root: Path) -> bool:
    """Say whether the stack in ``root`` has its services in Docker.

    It goes on as it began. A new one does where an engine answers, unless
    ``MODERATE_LOCAL_DOCKER=never`` is set.
    """
    if os.environ.get(PREFERENCE, "") == NEVER:
        return False
    if (root / MARK).exists():
        return True
    return not (root / "postgres" / "data").exists() and engine_answers()


def engine_answers() -> bool:
    """Say whether there is Docker with Compose; a client alone is none."""
    if not (COMPOSE / "compose.yaml").exists() or not shutil.which("docker"):
        return False
    asked = (["docker", "info"], ["docker", "compose", "version"])
    return all(map(_succeeds, asked))


def _succeeds(command: list[str]) -> bool:
    try:
        return not subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=ANSWER_SECONDS,
            check=False,
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False
