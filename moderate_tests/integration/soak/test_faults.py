"""The network and the disk of a soak, with real servers behind them."""

import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from botocore.exceptions import ClientError

from moderate.local.ports import LOOPBACK, free_port
from moderate.local.services.s3 import OUTPUTS_BUCKET, S3, S3Program
from moderate_tests.soak import disk
from moderate_tests.soak.network import TOXIPROXY, Network, Road

# The proxy and S3's server are built with Go; CI's nightly soak has both.
pytestmark = [
    pytest.mark.services,
    pytest.mark.full,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (TOXIPROXY.path.exists() or shutil.which("go")),
        reason="needs Go: apt-get install golang",
    ),
]

SLOW_MS = 300


class Peer(BaseHTTPRequestHandler):
    """Answers."""

    def do_GET(self) -> None:
        """Say that all is well."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing else."""


@pytest.fixture
def peer() -> Iterator[int]:
    """The port of a peer."""
    server = ThreadingHTTPServer((LOOPBACK, 0), Peer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def network(tmp_path: Path, peer: int) -> Iterator[Network]:
    """A network with a road to the peer."""
    roads = {"peer": Road(free_port(), peer)}
    with Network(tmp_path, port=free_port(), roads=roads) as made:
        yield made


def ask(network: Network, timeout: float = 30) -> int:
    url = f"http://{LOOPBACK}:{network.roads['peer'].enter}/"
    return httpx.get(url, timeout=timeout, trust_env=False).status_code


def test_a_whole_network_lets_everything_through(network: Network) -> None:
    assert ask(network) == 200


def test_a_slow_network_takes_its_time_each_way(network: Network) -> None:
    network.slow("peer", SLOW_MS, 0)
    begun = time.monotonic()
    assert ask(network) == 200
    assert time.monotonic() - begun >= 2 * SLOW_MS / 1000


def test_a_cut_network_refuses_connections(network: Network) -> None:
    network.cut("peer")
    with pytest.raises(httpx.ConnectError):
        ask(network)
    network.mend()
    assert ask(network) == 200


def test_a_silent_network_takes_connections_and_says_nothing(
    network: Network,
) -> None:
    network.silence("peer")
    with pytest.raises(httpx.ReadTimeout):
        ask(network, timeout=1)
    network.mend()
    assert ask(network) == 200


def test_a_full_disk_refuses_writes_and_still_reads(s3: S3) -> None:
    if s3.program is not S3Program.VERSITYGW:
        pytest.skip("moto keeps objects in memory")
    client = s3.client()
    client.put_object(Bucket=OUTPUTS_BUCKET, Key="before", Body=b"kept")
    assert disk.fill(s3)
    try:
        with pytest.raises(ClientError) as refused:
            client.put_object(Bucket=OUTPUTS_BUCKET, Key="full", Body=b"lost")
        status = refused.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status >= 500
        found = client.get_object(Bucket=OUTPUTS_BUCKET, Key="before")
        assert found["Body"].read() == b"kept"
    finally:
        assert disk.clear(s3)
    client.put_object(Bucket=OUTPUTS_BUCKET, Key="full", Body=b"there")
