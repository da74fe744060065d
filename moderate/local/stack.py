"""All parts of the platform together, in one folder."""

import os
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import (
    FIRST_EXCEPTION,
    Future,
    ThreadPoolExecutor,
    wait,
)
from functools import partial
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from moderate.inbox.database import Address
from moderate.inbox.migrate import migrate
from moderate.local import docker
from moderate.local.leftovers import end_leftovers
from moderate.local.lock import FolderLock
from moderate.local.memory import choose_ports, choose_secrets, remember
from moderate.local.process import PartError
from moderate.local.realm import SECRET_NAMES
from moderate.local.reporting import Reporter, Silence
from moderate.local.services.base import Service
from moderate.local.services.dagster import (
    CODE_MODULE,
    CodeServer,
    Daemon,
    DagsterPart,
    Webserver,
)
from moderate.local.services.fastpath import (
    ENVIRONMENT as FAST_ENVIRONMENT,
)
from moderate.local.services.fastpath import INSTANCE as FAST_INSTANCE
from moderate.local.services.fastpath import Intake, Worker
from moderate.local.services.in_docker import (
    InDocker,
    KeycloakInDocker,
    PostgresInDocker,
    RabbitMQInDocker,
    S3InDocker,
    project_of,
)
from moderate.local.services.keycloak import Keycloak
from moderate.local.services.open_metadata import OpenMetadata
from moderate.local.services.platform_api import PlatformApi
from moderate.local.services.postgres import Postgres
from moderate.local.services.rabbitmq import RabbitMQ
from moderate.local.services.s3 import S3
from moderate.settings import GROUPS

INBOX_DATABASE = "moderate_inbox"
PORT_NAMES = (
    "postgres",
    "rabbitmq",
    "rabbitmq-distribution",
    "rabbitmq-mapper",
    "keycloak",
    "s3",
    "platform-api",
    "open-metadata",
    "dagster-code",
    "dagster-webserver",
)
OWN_SECRETS = (
    "postgres_password",
    "rabbitmq_password",
    "keycloak_admin_password",
    "s3_access_key",
    "s3_secret_key",
    "open_metadata_secret",
)
PEER_GROUPS = (
    "postgres",
    "keycloak",
    "open_metadata",
    "s3",
    "platform_api",
    "rabbit",
)


class StackRunsError(Exception):
    """A stack runs in this folder already.

    Args:
        root: The folder.
        pid: The process that holds it.
    """

    def __init__(self, root: Path, pid: int | None) -> None:
        super().__init__(f"a stack runs in {root} already (process {pid})")


class Stack:
    """The local stack in the folder ``root``.

    Its parts are attributes, each to be stopped, killed and started on its
    own. As a context manager it starts everything and stops everything.

    Args:
        root: All data, logs, ports and secrets lie in here.
        ports: Wanted ports by name (``PORT_NAMES``); the others are chosen
            once and remembered.
        reporter: Is told how the start goes on.
        durable: False turns off what guards Postgres' data against a loss
            of power.
        module: The Python module of the Dagster definitions.
        emulator: More settings of the platform API's emulator
            (``EMULATOR_*``).
        environment: More variables for the code server.
        fast: With the fast path: an intake and a warm worker.
        in_docker: The services that compose/ has are containers.
    """

    def __init__(
        self,
        root: Path,
        *,
        ports: Mapping[str, int] | None = None,
        reporter: Reporter | None = None,
        durable: bool = True,
        module: str = CODE_MODULE,
        emulator: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        fast: bool = False,
        in_docker: bool = False,
    ) -> None:
        self.root = root.absolute()
        self._reporter = reporter or Silence()
        self._more = {
            **(FAST_ENVIRONMENT if fast else {}),
            **(environment or {}),
        }
        self._lock = FolderLock(self.root)
        self._ports_file = self.root / "ports.json"
        self._secrets_file = self.root / "secrets.json"
        self.ports = choose_ports(self._ports_file, PORT_NAMES, ports or {})
        self._secrets = choose_secrets(
            self._secrets_file, (*OWN_SECRETS, *SECRET_NAMES)
        )
        self._docker = (
            project_of(self.root, self.ports, self._secrets)
            if in_docker
            else None
        )
        self._make_servers(durable=durable)
        self._make_emulators(emulator or {})
        self._make_dagster(module)
        if fast:
            self._make_fast_path(module)
        self._cancelled = threading.Event()
        for part in self.parts:
            part.cancelled = self._cancelled
            part.say = partial(self._reporter.note, part.name)
            if self._docker and isinstance(part, InDocker):
                part.project = self._docker

    @property
    def parts(self) -> tuple[Service, ...]:
        """All parts; each comes after those that it needs."""
        return tuple(self._needs)

    @property
    def env(self) -> dict[str, str]:
        """The variables by which clients find the stack; with secrets."""
        return {
            name: value
            for part in self.parts
            for name, value in part.client_environment().items()
        } | {
            "INBOX_DATABASE": INBOX_DATABASE,
            "ANALYSIS_WORK_DIR": str(self.root / "analyses"),
            **self._more,
        }

    def password(self, user: str) -> SecretStr:
        """Return the password of one of the realm's users."""
        return SecretStr(self._secrets[f"{user}_password"])

    def start(self) -> None:
        """Start all parts, those at once that do not need each other.

        Raises:
            PartError: A part did not start; nothing is left running.
            StackRunsError: A live process holds the folder.
        """
        if not self._lock.take():
            raise StackRunsError(self.root, self._lock.holder())
        try:
            end_leftovers(self.root)
            remember(self._ports_file, self.ports)
            remember(self._secrets_file, self._secrets)
            self._cancelled.clear()
            self._prepare_containers()
            self._start_parts()
            if self._docker:
                # The next start finds its data there.
                (self.root / docker.MARK).touch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all parts: first Dagster, then what it works with."""
        self._cancelled.set()
        dagster = [
            each for each in self.parts if isinstance(each, DagsterPart)
        ]
        others = [each for each in self.parts if each not in dagster]
        with ThreadPoolExecutor(len(self.parts)) as pool:
            for wave in (dagster, others):
                list(pool.map(Service.stop, wave))
        try:
            if self._docker:
                self._docker.down()
        finally:
            self._lock.release()

    def end_containers(self, *, volumes: bool) -> None:
        """Remove what Docker has of this stack.

        Args:
            volumes: The data too.

        Raises:
            PartError: That did not work.
        """
        project_of(self.root, self.ports, self._secrets).down(volumes=volumes)
        if volumes:
            (self.root / docker.MARK).unlink(missing_ok=True)

    def dead(self) -> list[Service]:
        """Parts that have ended by themselves."""
        return [part for part in self.parts if not part.running]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _prepare_containers(self) -> None:
        if self._docker is None:
            return
        begun = time.monotonic()
        self._reporter.starting(docker.PART)
        say = partial(self._reporter.note, docker.PART)
        self._docker.prepare(say, self._cancelled)
        self._reporter.ready(docker.PART, time.monotonic() - begun)

    def _start_parts(self) -> None:
        started: dict[Service, Future[None]] = {}
        with ThreadPoolExecutor(len(self.parts)) as pool:
            try:
                for part, needs in self._needs.items():
                    waits = [started[need] for need in needs]
                    started[part] = pool.submit(self._start_part, part, waits)
                _await_all(started.values())
            except BaseException:
                # The others give up, or the pool would wait for them.
                self._cancelled.set()
                raise

    def _start_part(
        self, part: Service, needs: Iterable[Future[None]]
    ) -> None:
        for need in needs:
            need.result()
        if self._cancelled.is_set():
            raise PartError(part.name, "was cancelled before it started")
        begun = time.monotonic()
        self._reporter.starting(part.name)
        try:
            part.start()
            if part is self.postgres:
                migrate(Address(self.postgres.url(INBOX_DATABASE)))
        except BaseException:
            self._reporter.failed(part.name)
            raise
        self._reporter.ready(part.name, time.monotonic() - begun)

    def _make_servers(self, *, durable: bool) -> None:
        in_docker = self._docker is not None
        self.postgres = (PostgresInDocker if in_docker else Postgres)(
            self.root / "postgres",
            port=self.ports["postgres"],
            password=self._secrets["postgres_password"],
            durable=durable,
            log=self._log(Postgres),
        )
        self.rabbitmq = (RabbitMQInDocker if in_docker else RabbitMQ)(
            self.root / "rabbitmq",
            port=self.ports["rabbitmq"],
            distribution_port=self.ports["rabbitmq-distribution"],
            mapper_port=self.ports["rabbitmq-mapper"],
            password=self._secrets["rabbitmq_password"],
            log=self._log(RabbitMQ),
        )
        self.keycloak = (KeycloakInDocker if in_docker else Keycloak)(
            self.root / "keycloak",
            port=self.ports["keycloak"],
            admin_password=self._secrets["keycloak_admin_password"],
            realm_secrets=self._secrets,
            log=self._log(Keycloak),
        )
        self.s3 = (S3InDocker if in_docker else S3)(
            self.root / "s3",
            port=self.ports["s3"],
            access_key=self._secrets["s3_access_key"],
            secret_key=self._secrets["s3_secret_key"],
            log=self._log(S3),
        )

    def _make_emulators(self, options: Mapping[str, str]) -> None:
        self.platform_api = PlatformApi(
            self.root / "platform-api",
            port=self.ports["platform-api"],
            keycloak=self.keycloak,
            rabbitmq=self.rabbitmq,
            s3=self.s3,
            realm_secrets=self._secrets,
            options=options,
            log=self._log(PlatformApi),
        )
        self.open_metadata = OpenMetadata(
            self.root / "open-metadata",
            port=self.ports["open-metadata"],
            secret=self._secrets["open_metadata_secret"],
            log=self._log(OpenMetadata),
        )
        self._needs: dict[Service, tuple[Service, ...]] = {
            self.postgres: (),
            self.keycloak: (),
            self.rabbitmq: (),
            self.s3: (),
            self.platform_api: (self.keycloak, self.rabbitmq, self.s3),
            self.open_metadata: (),
        }

    def _make_dagster(self, module: str) -> None:
        home = self.root / "dagster"
        person = _without_peers(os.environ)
        storage = {
            **person,
            **self.postgres.client_environment(),
            "INBOX_DATABASE": INBOX_DATABASE,
        }
        self.code_server = CodeServer(
            self.root / "dagster-code",
            port=self.ports["dagster-code"],
            home=home,
            environment={**person, **self.env},
            module=module,
            log=self._log(CodeServer),
        )
        self.webserver = Webserver(
            self.root / "dagster-webserver",
            port=self.ports["dagster-webserver"],
            code_server=self.code_server,
            home=home,
            environment=storage,
            log=self._log(Webserver),
        )
        self.daemon = Daemon(
            self.root / "dagster-daemon",
            webserver=self.webserver,
            code_server=self.code_server,
            home=home,
            environment=storage,
            log=self._log(Daemon),
        )
        self._needs |= {
            self.code_server: (self.postgres,),
            self.webserver: (self.code_server,),
            # It looks at sensors at once, so everything must be there.
            self.daemon: (
                self.webserver,
                self.platform_api,
                self.open_metadata,
            ),
        }

    def _make_fast_path(self, module: str) -> None:
        environment = {**_without_peers(os.environ), **self.env}
        home = self.root / "dagster"
        self.worker = Worker(
            self.root / "worker",
            home=home,
            environment=environment,
            module=module,
            log=self._log(Worker),
        )
        self.intake = Intake(
            self.root / "intake",
            code_server=self.code_server,
            home=home,
            environment=environment,
            log=self._log(Intake),
        )
        self._needs |= {
            self.worker: (self.code_server,),
            self.intake: (self.worker, self.platform_api),
        }
        for part in self.parts:
            if isinstance(part, DagsterPart):
                part.more_settings = FAST_INSTANCE

    def _log(self, kind: type[Service]) -> Path:
        return self.root / "logs" / f"{kind.name}.log"


def _without_peers(environment: Mapping[str, str]) -> dict[str, str]:
    """Take the peers' settings out: they may name the real ones."""
    peers = {
        variable
        for name in PEER_GROUPS
        for variable in GROUPS[name].variables()
    }
    return {key: environment[key] for key in environment if key not in peers}


def _await_all(futures: Iterable[Future[None]]) -> None:
    """Wait until all have ended well, or until the first has failed."""
    ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
    failures = [error for each in ended if (error := each.exception())]
    if failures:
        raise failures[0]
