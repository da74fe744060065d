"""The parts that can be containers: their clients see no difference.

A part's container is kept by a process of ours (``moderate.local.attached``),
so that the part starts, is watched and stops like any other.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from moderate.local.docker import Project
from moderate.local.process import Process
from moderate.local.realm import REALM, SECRET_NAMES, render_realm
from moderate.local.realm_file import PREFIX
from moderate.local.services.base import Service
from moderate.local.services.keycloak import Keycloak
from moderate.local.services.postgres import Postgres
from moderate.local.services.rabbitmq import RabbitMQ
from moderate.local.services.s3 import S3

START_SECONDS = 180.0
# Docker gives a container 10 s to end before it kills it.
STOP_SECONDS = 30.0


class InDocker(Service):
    """A part that is the container of its name.

    Attributes:
        project: Where that is; the stack sets it.
    """

    project: Project

    def prepare(self) -> None:
        """Nothing: the image brings all, and a volume keeps the data."""

    def kill(self) -> None:
        """Kill the container and what keeps it."""
        self.project.kill(self.name)
        super().kill()

    def keeper(self, ready: Callable[[], bool]) -> Process:
        """Return what keeps the container.

        Args:
            ready: Answers whether the part serves.
        """
        module = "moderate.local.attached"
        return Process(
            self.name,
            [sys.executable, "-m", module, self.name, *self.project.command],
            environment={**self.project.environment, **self.marked()},
            folder=self.folder,
            log=self.log,
            ready=ready,
            start_timeout=START_SECONDS,
            grace=STOP_SECONDS,
            cancelled=self.cancelled,
        )


class PostgresInDocker(InDocker, Postgres):
    """Postgres as a container."""

    def make_process(self) -> Process:
        """What keeps it."""
        return self.keeper(self.answers)


class RabbitMQInDocker(InDocker, RabbitMQ):
    """RabbitMQ as a container, with its management page."""

    @property
    def ports(self) -> tuple[int, ...]:
        """For clients, and of the page."""
        return (self.port, self.distribution_port)

    def make_process(self) -> Process:
        """What keeps it."""
        return self.keeper(self.answers)


class S3InDocker(InDocker, S3):
    """The S3 server as a container."""

    def make_process(self) -> Process:
        """What keeps it."""
        return self.keeper(self.answers)


class KeycloakInDocker(InDocker, Keycloak):
    """Keycloak as a container, with the realm from a folder of ours."""

    @property
    def imports(self) -> Path:
        """What its container sees as the folder of imports."""
        return self.folder / "import"

    def start(self) -> None:
        """Start it; there is no distribution to prepare."""
        Service.start(self)

    def prepare(self) -> None:
        """Write the realm, for a user of the container who is not ours."""
        # Nobody else on this machine gets as far as the file.
        self.folder.chmod(0o700)
        self.imports.mkdir(exist_ok=True)
        file = self.imports / f"{REALM}-realm.json"
        file.write_text(json.dumps(render_realm(self.realm_secrets)))
        file.chmod(0o644)

    def make_process(self) -> Process:
        """What keeps it."""
        return self.keeper(self.answers)


def project_of(
    root: Path, ports: Mapping[str, int], secrets: Mapping[str, str]
) -> Project:
    """Return the project of a stack, with all that compose.yaml wants."""
    keycloak = f"http://127.0.0.1:{ports['keycloak']}"
    return Project(
        root,
        {
            "POSTGRES_PORT": str(ports["postgres"]),
            "POSTGRES_PASSWORD": secrets["postgres_password"],
            # Of roles that nobody uses here.
            "DAGSTER_POSTGRES_PASSWORD": secrets["postgres_password"],
            "OPEN_METADATA_POSTGRES_PASSWORD": secrets["postgres_password"],
            "RABBITMQ_PORT": str(ports["rabbitmq"]),
            "RABBITMQ_MANAGEMENT_PORT": str(ports["rabbitmq-distribution"]),
            "RABBITMQ_PASSWORD": secrets["rabbitmq_password"],
            "KEYCLOAK_PORT": str(ports["keycloak"]),
            "KEYCLOAK_URL": keycloak,
            "KEYCLOAK_ADMIN_PASSWORD": secrets["keycloak_admin_password"],
            "REALM_FOLDER": str(root / Keycloak.name / "import"),
            "S3_PORT": str(ports["s3"]),
            "S3_ACCESS_KEY_ID": secrets["s3_access_key"],
            "S3_SECRET_ACCESS_KEY": secrets["s3_secret_key"],
            **{PREFIX + name.upper(): secrets[name] for name in SECRET_NAMES},
            # A stack that was killed does not come back with the machine.
            "RESTART": "no",
            # Of an image that is not built for this.
            "BASE": "none",
        },
    )
