"""OpenMetadata: our emulator as a process of its own."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from moderate.local import probes
from moderate.local.open_metadata.models import installed
from moderate.local.open_metadata.tokens import make_token
from moderate.local.ports import LOOPBACK
from moderate.local.process import PartError, Process
from moderate.local.services.base import HttpService

CONTROL_TIMEOUT_SECONDS = 30


class OpenMetadata(HttpService):
    """The emulator. It forgets everything when it ends.

    Args:
        folder: Its log lies in here.
        port: Where it listens.
        secret: What its tokens are signed with is made from this.
        options: More of its settings (``OM_EMULATOR_*``), for instance
            faults.
        log: Its log file.
    """

    name = "open-metadata"

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        secret: str,
        options: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, port=port, log=log)
        # Whatever the secret's length, a key must have 256 bits.
        self._key = hashlib.sha256(secret.encode()).hexdigest()
        self._options = dict(options or {})

    @property
    def token(self) -> str:
        """The ingestion bot's token; the same as long as the secret is."""
        return make_token(self._key)

    def token_until(self, expires_at: int) -> str:
        """A token that expires, in seconds since 1970."""
        return make_token(self._key, expires_at=expires_at)

    def reset(self) -> None:
        """Forget all that arrived, what was asked, and the faults."""
        answer = httpx.post(
            f"{self.url}/_emulator/reset",
            timeout=CONTROL_TIMEOUT_SECONDS,
            trust_env=False,
        )
        answer.raise_for_status()

    def client_environment(self) -> dict[str, str]:
        """Host, port and token."""
        return {
            "OPEN_METADATA_HOST": LOOPBACK,
            "OPEN_METADATA_PORT": str(self.port),
            "OPEN_METADATA_TOKEN": self.token,
        }

    def prepare(self) -> None:
        """See that the framework is there, whose models it needs.

        Raises:
            PartError: It is not installed.
        """
        if not installed():
            raise PartError(
                self.name, "needs pip install 'moderate[openmetadata]'"
            )

    def make_process(self) -> Process:
        """The emulator."""
        return Process(
            self.name,
            [sys.executable, "-m", "moderate.local.open_metadata"],
            environment=self.server_environment(
                OM_EMULATOR_HOST=LOOPBACK,
                OM_EMULATOR_PORT=str(self.port),
                OM_EMULATOR_SIGNING_KEY=self._key,
                OM_EMULATOR_CONTROL="1",
                **self._options,
            ),
            folder=self.folder,
            log=self.log,
            ready=lambda: probes.answers(f"{self.url}/api/v1/system/version"),
            cancelled=self.cancelled,
        )
