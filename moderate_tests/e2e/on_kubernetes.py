"""The whole stack, with the cluster of the tests for its analyses."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moderate.local.stack import Stack
from moderate_tests.e2e.live import Live
from moderate_tests.kubernetes.cluster import TestCluster

MEMORY_MIB = 256
"""What an analysis may use: enough for weeks, too little for years."""

LARGE_SERIES = b"time,value\n" + b"".join(
    f"{1_700_000_000 + 900 * i},{i % 977}.{i % 13}\n".encode()
    for i in range(500_000)
)
"""Not too long for the analysis, but for ``MEMORY_MIB``."""


@contextmanager
def live_on_kubernetes() -> Iterator[tuple[Live, TestCluster]]:
    """Run the service; its analyses are Jobs on one node."""
    with tempfile.TemporaryDirectory(prefix="moderate-k8s-") as folder:
        root = Path(folder)
        # Postgres, which is not root, passes through.
        root.chmod(0o711)
        node = root / "node"
        node.mkdir()
        cluster = TestCluster(node)
        environment = {
            "ANALYSIS_LAUNCHER": "kubernetes",
            "KUBECONFIG": str(cluster.kubeconfig(root / "kubeconfig")),
            "MATRIX_PROFILE_MEMORY_MIB": str(MEMORY_MIB),
            "MATRIX_PROFILE_MAX_FAILURES": "1",
            # A message that came before its queue is found again at once.
            "MATRIX_PROFILE_RECONCILE_SECONDS": "2",
            "MATRIX_PROFILE_RECONCILE_GRACE_SECONDS": "1",
        }
        try:
            with Stack(
                root / "stack", durable=False, environment=environment
            ) as stack:
                live = Live(stack)
                try:
                    yield live, cluster
                finally:
                    live.close()
        finally:
            cluster.close()
