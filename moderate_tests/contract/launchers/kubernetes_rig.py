"""Analyses as Jobs: on the cluster of the tests, and on a real one."""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from moderate.analyses.kubernetes import KubernetesLauncher
from moderate.analyses.kubernetes_api import JOBS, Cluster, Json, connect
from moderate.analyses.kubernetes_spec import Options
from moderate_tests.kubernetes.cluster import TestCluster

EVIDENCE = Path(
    os.environ.get("MODERATE_K8S_EVIDENCE", "/var/tmp/moderate-k8s-evidence")
)
"""A folder that the real cluster's only node has at the same path.

Files in it are locked from here and from pods, so both need one kernel.
"""

NEEDS_CLUSTER = pytest.mark.skipif(
    os.environ.get("MODERATE_K8S_E2E") != "1",
    reason="a real cluster is used where MODERATE_K8S_E2E=1",
)


@dataclass(frozen=True)
class SharingCluster(Cluster):
    """A cluster whose pods see a folder of their machine.

    No configuration of an analysis gives it one.
    """

    evidence: Path = Path("/nowhere")

    def create(self, kind: str, body: Json) -> Json:
        """Create an object; a Job with the folder."""
        if kind == JOBS:
            path = str(self.evidence)
            # A node that has no such folder says so, and makes none.
            host = {"path": path, "type": "Directory"}
            volume = {"name": "evidence", "hostPath": host}
            mount = {"name": "evidence", "mountPath": path}
            pod = body["spec"]["template"]["spec"]
            pod["volumes"].append(volume)
            pod["containers"][0]["volumeMounts"].append(mount)
        return super().create(kind, body)


@dataclass(frozen=True)
class KubernetesRig:
    """The cluster of the tests, or one that kubectl would use."""

    evidence: Path
    options: Options
    cluster: TestCluster | None = None

    def api(self) -> Cluster:
        """Return the way to the cluster."""
        if self.cluster:
            return self.cluster.client()
        real = connect()
        return SharingCluster(
            real.client, real.namespace, evidence=self.evidence
        )

    def launcher(self) -> KubernetesLauncher:
        """Return a launcher as one more worker would have it."""
        return KubernetesLauncher(self.api(), self.options)

    def python(self, source: str) -> tuple[str, ...]:
        """Return the command that runs a Python program in a container."""
        return ("python", "-I", "-S", "-c", source)

    def close(self) -> None:
        """End the test's cluster, or remove what a case left."""
        if self.cluster:
            self.cluster.close()
            return
        api = self.api()
        selector = f"moderate/service={self.options.service}"
        for job in api.find(JOBS, labelSelector=selector):
            options = {"propagationPolicy": "Background"}
            api.delete(JOBS, job["metadata"]["name"], options)


def kubernetes_rig(folder: Path) -> KubernetesRig:
    evidence = folder / "evidence"
    evidence.mkdir()
    nodes = folder / "node"
    nodes.mkdir()
    return KubernetesRig(evidence, Options("contract"), TestCluster(nodes))


def real_cluster_rig(_: Path) -> KubernetesRig:
    """Each case has a service name, and so a world, of its own.

    Names of Jobs are the same in each: the one before must be gone.
    """
    evidence = EVIDENCE / uuid4().hex
    evidence.mkdir(parents=True)
    evidence.chmod(0o777)
    pod = {"securityContext": {"runAsUser": 65532}}
    options = Options(
        f"contract-{uuid4().hex[:8]}",
        cpu_request="100m",
        ttl=timedelta(),
        base={"spec": {"template": {"spec": pod}}},
    )
    return KubernetesRig(evidence, options)
