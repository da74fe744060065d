"""Dagster: code server, webserver and daemon, with Postgres storage."""

import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import httpx

from moderate.local import ports, probes
from moderate.local.command import run_to_end
from moderate.local.ports import LOOPBACK
from moderate.local.process import Process
from moderate.local.services.base import Service

INSTANCE_FILE = Path(__file__).parents[1] / "dagster.yaml"
CODE_MODULE = "moderate.definitions"
START_TIMEOUT_SECONDS = 120.0
STORAGE_TIMEOUT_SECONDS = 120.0
QUERY_TIMEOUT_SECONDS = 5.0
POOL_MAX_OVERFLOW = 4
"""As ``moderate.dagster_storage`` has it, which would import Dagster here."""
HEARTBEAT_QUERY = """{ instance { daemonHealth {
  daemonStatus(daemonType: "SENSOR") { lastHeartbeatTime }
} } }"""


class DagsterPart(Service):
    """What the three processes have in common.

    Args:
        folder: The part's own folder.
        home: The instance's folder, ``DAGSTER_HOME``; the parts share it.
        environment: The rest of the part's environment, which must name
            Postgres and for the code server all peers.
        log: Its log file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        home: Path,
        environment: Mapping[str, str],
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, log=log)
        self._home = home.absolute()
        self._environment = dict(environment)
        #: More of the instance's settings; the same for all parts.
        self.more_settings = ""

    @property
    def ports(self) -> tuple[int, ...]:
        """None, unless the part says otherwise."""
        return ()

    def client_environment(self) -> dict[str, str]:
        """Where the instance is."""
        return {"DAGSTER_HOME": str(self._home)}

    def prepare(self) -> None:
        """Write the instance's settings."""
        self._home.mkdir(parents=True, exist_ok=True)
        text = INSTANCE_FILE.read_text() + self.more_settings
        (self._home / INSTANCE_FILE.name).write_text(text)

    def dagster_environment(self) -> dict[str, str]:
        """The environment of the part's process."""
        return {
            **self._environment,
            **self.client_environment(),
            **self.marked(),
            "DAGSTER_DISABLE_TELEMETRY": "true",
        }


class CodeServer(DagsterPart):
    """Serves the code location, and starts its runs as own processes.

    Runs end with it. An analysis has a session of its own, as it has a pod
    of its own in production, and so outlives ``kill`` and ``restart``.

    Args:
        port: Where it listens.
        module: The Python module of the definitions.
        folder: See ``DagsterPart``.
        home: See ``DagsterPart``.
        environment: See ``DagsterPart``.
        log: See ``DagsterPart``.
    """

    name = "dagster-code"

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        home: Path,
        environment: Mapping[str, str],
        module: str = CODE_MODULE,
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, home=home, environment=environment, log=log)
        self.port = port
        self._module = module

    @property
    def ports(self) -> tuple[int, ...]:
        """The one port."""
        return (self.port,)

    def prepare(self) -> None:
        """Also make the tables of Dagster's storage, before many ask."""
        super().prepare()
        made = self._home / "storage.version"
        version = metadata.version("dagster")
        if made.exists() and made.read_text() == version:
            return
        run_to_end(
            self.name,
            "making Dagster's tables",
            [sys.executable, "-m", "dagster", "instance", "migrate"],
            environment=self.dagster_environment(),
            folder=self.folder,
            log=self.log,
            timeout=STORAGE_TIMEOUT_SECONDS,
            say=self.say,
            cancelled=self.cancelled,
        )
        made.write_text(version)

    def make_process(self) -> Process:
        """The gRPC server; it listens once the code is loaded."""
        return Process(
            self.name,
            [
                *(sys.executable, "-m", "dagster", "api", "grpc"),
                *("--host", LOOPBACK, "--port", str(self.port)),
                *("--module-name", self._module),
            ],
            environment=self.dagster_environment(),
            folder=self.folder,
            log=self.log,
            ready=lambda: ports.is_open(self.port),
            start_timeout=START_TIMEOUT_SECONDS,
            spares_sessions=True,
            cancelled=self.cancelled,
        )


class Webserver(DagsterPart):
    """Dagster's user interface.

    Args:
        port: Where it listens.
        code_server: Whose code it shows.
        folder: See ``DagsterPart``.
        home: See ``DagsterPart``.
        environment: See ``DagsterPart``.
        log: See ``DagsterPart``.
    """

    name = "dagster-webserver"

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        code_server: CodeServer,
        home: Path,
        environment: Mapping[str, str],
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, home=home, environment=environment, log=log)
        self.port = port
        self._code_server = code_server

    @property
    def ports(self) -> tuple[int, ...]:
        """The one port."""
        return (self.port,)

    @property
    def url(self) -> str:
        """Where to point a browser at."""
        return f"http://{LOOPBACK}:{self.port}"

    def make_process(self) -> Process:
        """The webserver."""
        return Process(
            self.name,
            [
                *(sys.executable, "-m", "dagster_webserver"),
                *("--host", LOOPBACK, "--port", str(self.port)),
                *("--grpc-host", LOOPBACK),
                *("--grpc-port", str(self._code_server.port)),
                # It sets the storage's pools anew, by itself to 20.
                *("--db-pool-max-overflow", str(POOL_MAX_OVERFLOW)),
            ],
            environment=self.dagster_environment(),
            folder=self.folder,
            log=self.log,
            ready=lambda: probes.answers_ok(f"{self.url}/server_info"),
            start_timeout=START_TIMEOUT_SECONDS,
            cancelled=self.cancelled,
        )

    def last_daemon_heartbeat(self) -> float:
        """When the sensor daemon last reported, in seconds of the epoch.

        0 if it never did, or if this cannot be told.
        """
        try:
            answer = httpx.post(
                f"{self.url}/graphql",
                json={"query": HEARTBEAT_QUERY},
                timeout=QUERY_TIMEOUT_SECONDS,
                trust_env=False,
            ).json()
        except (httpx.TransportError, ValueError):
            return 0.0
        if not answer.get("data"):
            return 0.0  # Its own storage may be down.
        health = answer["data"]["instance"]["daemonHealth"]
        return float(health["daemonStatus"]["lastHeartbeatTime"] or 0)


class Daemon(DagsterPart):
    """Looks at sensors and schedules, and starts queued runs.

    Args:
        webserver: Is asked whether the daemon works.
        code_server: Whose sensors it looks at.
        folder: See ``DagsterPart``.
        home: See ``DagsterPart``.
        environment: See ``DagsterPart``.
        log: See ``DagsterPart``.
    """

    name = "dagster-daemon"

    def __init__(
        self,
        folder: Path,
        *,
        webserver: Webserver,
        code_server: CodeServer,
        home: Path,
        environment: Mapping[str, str],
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, home=home, environment=environment, log=log)
        self._webserver = webserver
        self._code_server = code_server
        self._begun = 0.0

    def prepare(self) -> None:
        """Also note the time: a report from before does not count."""
        super().prepare()
        self._begun = time.time()

    def make_process(self) -> Process:
        """The daemon."""
        return Process(
            self.name,
            [
                *(sys.executable, "-m", "dagster._daemon", "run"),
                *("--grpc-host", LOOPBACK),
                *("--grpc-port", str(self._code_server.port)),
            ],
            environment=self.dagster_environment(),
            folder=self.folder,
            log=self.log,
            ready=self._reports,
            start_timeout=START_TIMEOUT_SECONDS,
            cancelled=self.cancelled,
        )

    def _reports(self) -> bool:
        return self._webserver.last_daemon_heartbeat() > self._begun
