"""With ``METADATA_EXECUTOR=pods`` each step is a Job of the cluster."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from moderate_tests.integration.metadata_ingestion import killed_run
from moderate_tests.integration.metadata_ingestion.world import World
from moderate_tests.kubernetes.cluster import NAMESPACE, TestCluster

pytestmark = pytest.mark.services

ACCOUNT, SECRET = "moderate", "moderate-settings"
PEERS = ("POSTGRES_", "OPEN_METADATA_", "S3_", "METADATA_", "INBOX_")
RUN_SECONDS = 300


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[TestCluster]:
    """A cluster whose Secret holds our settings."""
    folder = tmp_path / "node"
    folder.mkdir()
    cluster = TestCluster(folder)
    try:
        yield cluster
    finally:
        cluster.close()


def _home(root: Path, cluster: TestCluster) -> Path:
    """Make an instance that is deployed as the chart deploys one."""
    home = root / "home"
    home.mkdir()
    kubeconfig = cluster.kubeconfig(root / "kubeconfig")
    (home / "dagster.yaml").write_text(
        f"""
telemetry: {{enabled: false}}
run_launcher:
  module: dagster_k8s
  class: K8sRunLauncher
  config:
    service_account_name: {ACCOUNT}
    instance_config_map: dagster-instance
    dagster_home: {home}
    job_namespace: {NAMESPACE}
    job_image: moderate/worker:0.1.0
    load_incluster_config: false
    kubeconfig_file: {kubeconfig}
    env_secrets: [{SECRET}]
"""
    )
    return home


def _prepare(cluster: TestCluster) -> None:
    """Make what our manifests make: an account and a Secret."""
    values = {
        name: base64.b64encode(value.encode()).decode()
        for name, value in os.environ.items()
        if name.startswith(PEERS)
    }
    for kind, thing in (
        ("serviceaccounts", {"metadata": {"name": ACCOUNT}}),
        ("secrets", {"metadata": {"name": SECRET}, "data": values}),
    ):
        cluster.store.create(kind, NAMESPACE, thing)


@pytest.mark.full
def test_each_step_is_a_pod_of_its_own(
    world: World, cluster: TestCluster, tmp_path: Path
) -> None:
    name = world.database("shop", "CREATE TABLE a (id int)")
    os.environ["METADATA_EXECUTOR"] = "pods"  # The world takes it back.
    os.environ["METADATA_WORKERS"] = "1"
    _prepare(cluster)
    home = _home(tmp_path, cluster)
    # By this name it would look for the pod that it is in itself.
    os.environ.pop("HOSTNAME", None)
    done = subprocess.run(
        [sys.executable, str(killed_run.__file__), killed_run.NEVER],
        env={**os.environ, "DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert "success True" in done.stdout, done.stderr[-4000:]
    assert len(world.tables(world.service(name))) == 1
    jobs = cluster.store.find("jobs", NAMESPACE)
    ops = [job["metadata"]["labels"]["dagster/op"] for job in jobs]
    assert sorted(op.split("_")[1] for op in ops) == [
        "metadata",
        "postgres",
        "profiler",
    ]
    spans = sorted((began, ended) for _, began, ended in cluster.node.spans)
    for (_, ended), (began, _) in pairwise(spans):
        assert began >= ended, "more pods at a time than METADATA_WORKERS"
    for job in jobs:
        assert world.server.token not in str(job)
