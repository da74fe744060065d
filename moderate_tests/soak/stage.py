"""The local stack in a folder of its own, behind a network of its own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moderate.local.memory import choose_ports, choose_secrets, remember
from moderate.local.ports import LOOPBACK
from moderate.local.realm import SECRET_NAMES
from moderate.local.stack import OWN_SECRETS, PORT_NAMES, Stack
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import SETTINGS
from moderate_tests.soak.network import Network, Road

DEFINITIONS = "moderate_tests.soak.definitions"
PEERS = (
    "postgres",
    "rabbitmq",
    "keycloak",
    "s3",
    "platform-api",
    "open-metadata",
)
ORDERS = "orders"
STACK = "stack"

MORE_SETTINGS = {
    # A flow that waits for a silent peer must come back by itself in time.
    "METADATA_STEP_TIMEOUT_SECONDS": "60",
    # No person clicks on "Retry" here.
    "USER_DIDS_MAX_FAILURES": "50",
    "ASSET_PROOFS_MAX_FAILURES": "50",
    "MATRIX_PROFILE_MAX_FAILURES": "50",
}


@dataclass(frozen=True)
class Stage:
    """Everything that runs.

    Attributes:
        live: The service.
        network: Between it and its peers.
    """

    live: Live
    network: Network

    @property
    def stack(self) -> Stack:
        """The local stack."""
        return self.live.stack


@contextmanager
def running(root: Path) -> Iterator[Stage]:
    """Start everything in a folder, and stop it in the end.

    Args:
        root: Data, logs, ports and secrets lie in here.
    """
    # Beside the stack's folder: what runs in there when it starts is ended.
    network, stack = _build(root / STACK, root / "network")
    with network, stack:
        live = Live(stack)
        try:
            yield Stage(live, network)
        finally:
            live.close()


def _build(root: Path, folder: Path) -> tuple[Network, Stack]:
    secrets = root / "secrets.json"
    remember(secrets, choose_secrets(secrets, (*OWN_SECRETS, *SECRET_NAMES)))
    entries = [_entry(peer) for peer in PEERS]
    chosen = choose_ports(
        root / "soak-ports.json", (*PORT_NAMES, *entries, ORDERS), {}
    )
    ports = {name: chosen[name] for name in PORT_NAMES}
    # Only asked where its peers are: the real one has to know of the roads.
    draft = Stack(root, ports=ports)
    roads = {peer: Road(chosen[_entry(peer)], ports[peer]) for peer in PEERS}
    network = Network(folder, port=chosen[ORDERS], roads=roads)
    stack = Stack(
        root,
        ports=ports,
        durable=False,
        module=DEFINITIONS,
        emulator={
            "EMULATOR_CONTROL": "true",
            "EMULATOR_JOB_DEBOUNCE_SECONDS": "0",
        },
        environment={
            **SETTINGS,
            **MORE_SETTINGS,
            **_detours(draft, roads),
        },
        fast=True,
    )
    return network, stack


def _entry(peer: str) -> str:
    """Name the port by which the service gets to a peer."""
    return f"to {peer}"


def _detours(stack: Stack, roads: Mapping[str, Road]) -> dict[str, str]:
    """Return by which variables the service goes by way of the network."""
    at = {peer: f"{LOOPBACK}:{road.enter}" for peer, road in roads.items()}
    broker = f"{LOOPBACK}:{roads['rabbitmq'].leave}"
    return {
        "POSTGRES_PORT": str(roads["postgres"].enter),
        "RABBIT_URL": stack.rabbitmq.url.replace(broker, at["rabbitmq"]),
        "KEYCLOAK_SERVER_URL": f"http://{at['keycloak']}",
        "S3_ENDPOINT_URL": f"http://{at['s3']}",
        "API_BASE_URL": f"http://{at['platform-api']}",
        "OPEN_METADATA_PORT": str(roads["open-metadata"].enter),
    }
