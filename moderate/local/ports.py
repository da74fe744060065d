"""Finding ports for services on the loopback interface."""

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
FIRST_PORT = 20_000
TRIES = 200
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
USUAL_EPHEMERAL_START = 32_768


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` now."""
    with socket.socket() as probe:
        # As servers do: a connection that lingers does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_open(port: int) -> bool:
    """Whether something accepts connections on ``port``."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def free_port() -> int:
    """Choose a free port below the range of outgoing connections.

    A port that the kernel hands out (by binding to 0) could be taken by any
    client's connection while its service restarts.

    Raises:
        RuntimeError: No free port was found.
    """
    chooser = random.SystemRandom()
    for _ in range(TRIES):
        port = chooser.randrange(FIRST_PORT, _last_port())
        if is_free(port):
            return port
    message = f"no free port from {FIRST_PORT} to {_last_port()}"
    raise RuntimeError(message)


def _last_port() -> int:
    try:
        first = int(EPHEMERAL_RANGE.read_text().split()[0])
    except OSError:
        first = USUAL_EPHEMERAL_START
    return first if first > FIRST_PORT + TRIES else USUAL_EPHEMERAL_START
