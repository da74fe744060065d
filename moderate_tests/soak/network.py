"""The network between the service and its peers, to be slowed and cut.

Toxiproxy stands between: the service has its addresses in place of the
peers' own. Whoever brings load in or looks at what came of it goes to the
peers straight.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from moderate.local import probes
from moderate.local.go_program import GoProgram
from moderate.local.ports import LOOPBACK
from moderate.local.process import Process
from moderate.local.services.base import HttpService

TOXIPROXY = GoProgram(
    "toxiproxy", "github.com/Shopify/toxiproxy/v2/cmd/server", "v2.5.0"
)
TIMEOUT_SECONDS = 10.0
DIRECTIONS = ("upstream", "downstream")


@dataclass(frozen=True)
class Road:
    """The way to a peer.

    Attributes:
        enter: The port that the service connects to.
        leave: The peer's own port.
    """

    enter: int
    leave: int


class Network(HttpService):
    """Toxiproxy, with a road to each peer.

    Args:
        folder: Its log lies in here.
        port: Where it takes orders.
        roads: By the peer's name.
    """

    name = "network"

    def __init__(
        self, folder: Path, *, port: int, roads: Mapping[str, Road]
    ) -> None:
        super().__init__(folder, port=port)
        self.roads = dict(roads)

    @property
    def ports(self) -> tuple[int, ...]:
        """Where it takes orders, and the begin of each road."""
        return (self.port, *(road.enter for road in self.roads.values()))

    def client_environment(self) -> dict[str, str]:
        """Nothing: nobody needs to know of it."""
        return {}

    def prepare(self) -> None:
        """Build the proxy, once a machine."""
        TOXIPROXY.build(self.say, self.cancelled)

    def make_process(self) -> Process:
        """The proxy."""
        return Process(
            self.name,
            [
                *(str(TOXIPROXY.path), "-host", LOOPBACK),
                *("-port", str(self.port)),
            ],
            environment=self.server_environment(LOG_LEVEL="error"),
            folder=self.folder,
            log=self.log,
            ready=lambda: probes.answers_ok(f"{self.url}/version"),
            cancelled=self.cancelled,
        )

    def settle(self) -> None:
        """Lay out the roads."""
        self._post(
            "populate",
            [
                {
                    "name": name,
                    "listen": f"{LOOPBACK}:{road.enter}",
                    "upstream": f"{LOOPBACK}:{road.leave}",
                    "enabled": True,
                }
                for name, road in self.roads.items()
            ],
        )

    def slow(self, peer: str, latency_ms: int, jitter_ms: int) -> None:
        """Let everything between the service and a peer take longer."""
        wait = {"latency": latency_ms, "jitter": jitter_ms}
        self._poison(peer, "latency", wait, DIRECTIONS)

    def silence(self, peer: str) -> None:
        """Swallow everything, and keep the connections: nobody is told."""
        self._poison(peer, "timeout", {"timeout": 0}, DIRECTIONS)

    def cut(self, peer: str) -> None:
        """Break the connections, and refuse new ones."""
        self._post(f"proxies/{peer}", {"enabled": False})

    def mend(self) -> None:
        """Let everything through again, at once."""
        self._post("reset", None)

    def _poison(
        self,
        peer: str,
        kind: str,
        attributes: Mapping[str, int],
        directions: tuple[str, ...],
    ) -> None:
        for direction in directions:
            body = {
                "type": kind,
                "stream": direction,
                "attributes": dict(attributes),
            }
            self._post(f"proxies/{peer}/toxics", body)

    def _post(self, path: str, body: Any) -> None:
        answer = httpx.post(
            f"{self.url}/{path}",
            json=body,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
        answer.raise_for_status()
