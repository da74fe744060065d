"""The platform API: our emulator as a process of its own."""

import sys
from collections.abc import Mapping
from pathlib import Path

from moderate.local import probes
from moderate.local.ports import LOOPBACK
from moderate.local.process import Process
from moderate.local.realm import API_ACCOUNT, CLIENT_ID, CLIENT_SECRET
from moderate.local.services.base import HttpService
from moderate.local.services.keycloak import Keycloak
from moderate.local.services.rabbitmq import RabbitMQ
from moderate.local.services.s3 import S3


class PlatformApi(HttpService):
    """The emulator, beside the Keycloak, broker and S3 server that it uses.

    Args:
        folder: Its state and log lie in here.
        port: Where it listens.
        keycloak: Whose tokens it takes.
        rabbitmq: Where it publishes job messages.
        s3: Where it keeps objects.
        realm_secrets: See ``moderate.local.realm``.
        options: More of its settings (``EMULATOR_*``), for instance faults.
        log: Its log file.
    """

    name = "platform-api"

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        keycloak: Keycloak,
        rabbitmq: RabbitMQ,
        s3: S3,
        realm_secrets: Mapping[str, str],
        options: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, port=port, log=log)
        self._keycloak = keycloak
        self._rabbitmq = rabbitmq
        self._s3 = s3
        self._realm_secrets = dict(realm_secrets)
        self._options = dict(options or {})

    def client_environment(self) -> dict[str, str]:
        """URL and account."""
        return {
            "API_BASE_URL": self.url,
            "API_USERNAME": API_ACCOUNT,
            "API_PASSWORD": self._realm_secrets[f"{API_ACCOUNT}_password"],
        }

    def prepare(self) -> None:
        """Nothing: the emulator makes its state file."""

    def make_process(self) -> Process:
        """The emulator."""
        return Process(
            self.name,
            [sys.executable, "-m", "moderate.local.platform_api"],
            environment=self.server_environment(**self._settings()),
            folder=self.folder,
            log=self.log,
            ready=lambda: probes.answers(self.url),
            cancelled=self.cancelled,
        )

    def _settings(self) -> dict[str, str]:
        s3 = self._s3.client_environment()
        return {
            "EMULATOR_HOST": LOOPBACK,
            "EMULATOR_PORT": str(self.port),
            "EMULATOR_STATE_FILE": str(self.folder / "state.sqlite"),
            "EMULATOR_KEYCLOAK_SERVER_URL": self._keycloak.url,
            "EMULATOR_KEYCLOAK_CLIENT_ID": CLIENT_ID,
            "EMULATOR_KEYCLOAK_CLIENT_SECRET": (
                self._realm_secrets[CLIENT_SECRET]
            ),
            "EMULATOR_RABBIT_URL": self._rabbitmq.url,
            "EMULATOR_S3_ENDPOINT_URL": s3["S3_ENDPOINT_URL"],
            "EMULATOR_S3_REGION": s3["S3_REGION"],
            "EMULATOR_S3_ACCESS_KEY_ID": s3["S3_ACCESS_KEY_ID"],
            "EMULATOR_S3_SECRET_ACCESS_KEY": s3["S3_SECRET_ACCESS_KEY"],
            "EMULATOR_S3_BUCKET_NAME": s3["S3_BUCKET_NAME"],
            **self._options,
        }
