"""RabbitMQ: the system's server as a node of our own."""

from pathlib import Path
from urllib.parse import quote

import pika
import pika.exceptions

from moderate.local import install
from moderate.local.ports import LOOPBACK
from moderate.local.process import Process
from moderate.local.services.base import Service

USER = "moderate"
CONNECT_TIMEOUT_SECONDS = 2


class RabbitMQ(Service):
    """A RabbitMQ node that listens on the loopback interface only.

    Its node name, its Erlang port mapper and its cookie are its own, so it
    neither meets nor disturbs any other node of the machine.

    Args:
        folder: Data, configuration and log lie in here.
        port: Where clients connect.
        distribution_port: Where ``rabbitmqctl`` connects.
        mapper_port: Where the node's own port mapper (epmd) listens.
        password: Of the user ``moderate``; there is no user ``guest``.
        log: Its log file.
    """

    name = "rabbitmq"

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        distribution_port: int,
        mapper_port: int,
        password: str,
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, log=log)
        self.port = port
        self.distribution_port = distribution_port
        self._mapper_port = mapper_port
        self._password = password

    @property
    def ports(self) -> tuple[int, ...]:
        """For clients, for other nodes, and of the port mapper."""
        return (self.port, self.distribution_port, self._mapper_port)

    @property
    def url(self) -> str:
        """The AMQP URL, password included."""
        login = f"{USER}:{quote(self._password, safe='')}"
        return f"amqp://{login}@{LOOPBACK}:{self.port}/%2F"

    def client_environment(self) -> dict[str, str]:
        """The broker's URL."""
        return {"RABBIT_URL": self.url}

    def prepare(self) -> None:
        """Write the node's configuration."""
        lines = (
            f"listeners.tcp.local = {LOOPBACK}:{self.port}",
            f"default_user = {USER}",
            f"default_pass = {self._password}",
            "loopback_users = none",
            "log.console = true",
            "log.console.level = info",
            "log.file = false",
        )
        self._configuration.touch(mode=0o600)
        self._configuration.write_text("\n".join(lines) + "\n")
        self._plugins.write_text("[].\n")

    def make_process(self) -> Process:
        """The broker."""
        return Process(
            self.name,
            [str(install.locate(install.RABBITMQ))],
            environment=self.node_environment(),
            folder=self.folder,
            log=self.log,
            ready=self.answers,
            start_timeout=90,
            grace=20,
            cancelled=self.cancelled,
        )

    def node_environment(self) -> dict[str, str]:
        """The node's environment; ``rabbitmqctl`` finds the node with it."""
        loopback_tuple = f"{{{LOOPBACK.replace('.', ',')}}}"
        return self.server_environment(
            # The Erlang cookie lies in the home folder.
            HOME=str(self.folder),
            ERL_EPMD_PORT=str(self._mapper_port),
            ERL_EPMD_ADDRESS=LOOPBACK,
            RABBITMQ_CONF_ENV_FILE="/dev/null",
            RABBITMQ_NODENAME=f"moderate-{self.port}@localhost",
            RABBITMQ_NODE_IP_ADDRESS=LOOPBACK,
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(self.distribution_port),
            RABBITMQ_CONFIG_FILE=str(self._configuration),
            RABBITMQ_ADVANCED_CONFIG_FILE=str(self.folder / "none.config"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self._plugins),
            RABBITMQ_MNESIA_BASE=str(self.folder / "mnesia"),
            RABBITMQ_LOG_BASE=str(self.folder / "log"),
            RABBITMQ_LOGS="-",
            RABBITMQ_GENERATED_CONFIG_DIR=str(self.folder / "generated"),
            RABBITMQ_PLUGINS_EXPAND_DIR=str(self.folder / "expanded"),
            RABBITMQ_PID_FILE=str(self.folder / "rabbitmq.pid"),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=(
                f"-kernel inet_dist_use_interface {loopback_tuple}"
            ),
        )

    @property
    def _configuration(self) -> Path:
        return self.folder / "rabbitmq.conf"

    @property
    def _plugins(self) -> Path:
        return self.folder / "enabled_plugins"

    def answers(self) -> bool:
        """Whether the broker takes connections."""
        parameters = pika.URLParameters(self.url)
        parameters.socket_timeout = CONNECT_TIMEOUT_SECONDS
        parameters.blocked_connection_timeout = CONNECT_TIMEOUT_SECONDS
        parameters.stack_timeout = CONNECT_TIMEOUT_SECONDS
        try:
            pika.BlockingConnection(parameters).close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True
