"""The service whose analyses run on the cluster of the tests."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import instance_for_test
from kubernetes.config import kube_config

from moderate.analyses.kubernetes import KubernetesLauncher
from moderate.analyses.kubernetes_spec import Options
from moderate.analyses.launcher import Launcher
from moderate.flows.matrix_profile import analysis, wiring
from moderate.settings import load_settings
from moderate_tests.integration.flows import stand_in
from moderate_tests.integration.flows.platform import (
    AsUser,
    Service,
    environment,
)
from moderate_tests.kubernetes.cluster import TestCluster

COMMAND = ("python", "-I", str(stand_in.__file__))


@dataclass(frozen=True)
class KubernetesService(Service):
    """The service, with a cluster for its analyses."""

    cluster: TestCluster = None  # type: ignore[assignment]

    @property
    def launcher(self) -> Launcher:
        """Return a launcher as one more worker would have it."""
        service = wiring.service_label(load_settings())
        return KubernetesLauncher(self.cluster.client(), Options(service))


@contextmanager
def service_on_cluster(
    settings: Mapping[str, str],
    api_url: str,
    as_user: AsUser,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[KubernetesService]:
    """Have the service in this process, with stand-ins in pods."""
    monkeypatch.setattr(analysis, "POLL", timedelta(seconds=0.1))
    monkeypatch.setattr(analysis, "PAUSE", timedelta(seconds=0.1))
    with cluster_for(folder / "analyses") as cluster:
        values = settings_for(cluster, settings, folder)
        use_cluster(monkeypatch, values["KUBECONFIG"])
        # In files: in memory a table that another thread reads is locked.
        with environment(values), instance_for_test() as instance:
            service = KubernetesService(
                instance, api_url, as_user, cluster=cluster
            )
            service.prepare()
            try:
                yield service
                service.check_words()
            finally:
                cluster.server.before = lambda *_: None
                if not cluster.server.is_up:
                    cluster.server.start()
                service.close()
                wiring._cluster.cache_clear()


@contextmanager
def cluster_for(folder: Path) -> Iterator[TestCluster]:
    """Run a cluster whose containers work below a folder.

    A stand-in for the analysis looks for its signs two folders up.
    """
    node = folder / "node"
    node.mkdir(parents=True)
    cluster = TestCluster(node)
    try:
        yield cluster
    finally:
        cluster.close()


def settings_for(
    cluster: TestCluster, settings: Mapping[str, str], folder: Path
) -> dict[str, str]:
    """Return the environment of a worker that uses the cluster."""
    config = cluster.kubeconfig(folder / "kubeconfig")
    return {
        **settings,
        "ANALYSIS_LAUNCHER": "kubernetes",
        "ANALYSIS_JOB_TTL_SECONDS": "0",
        "KUBECONFIG": str(config),
    }


def use_cluster(monkeypatch: pytest.MonkeyPatch, kubeconfig: str) -> None:
    """Have this process find the cluster, and run the stand-in on it."""
    # Read by the client when it was imported.
    monkeypatch.setattr(
        kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", kubeconfig
    )
    monkeypatch.setattr(analysis, "IMAGE_COMMAND", COMMAND)
    wiring._cluster.cache_clear()
