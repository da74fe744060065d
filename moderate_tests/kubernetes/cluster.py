"""The parts of a cluster together, and what can go wrong with it."""

from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes_validate import ValidationError, validate

from moderate.analyses import kubernetes_api
from moderate_tests.kubernetes.controllers import Controllers
from moderate_tests.kubernetes.node import Node
from moderate_tests.kubernetes.server import ApiServer
from moderate_tests.kubernetes.status import add_disruption, later
from moderate_tests.kubernetes.store import ApiError, Json, Store, invalid

VERSION = "1.34"
NAMESPACE = "analyses"
EVICTION_EVENTS = {
    "PreemptionByScheduler": "Preempted",
    "DeletionByTaintManager": "TaintManagerEviction",
}
"""The events that tell of it; a drain leaves none."""


class TestCluster:
    """A cluster of one node; ``close`` ends all that it runs."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.store = Store()
        self.controllers = Controllers(self.store)
        self.node = Node(self.store, folder)
        self.server = ApiServer(self.store, self.node.logs, check_job)
        self.server.start()
        self.controllers.start()
        self.node.start()

    def close(self) -> None:
        self.node.stop()
        self.server.kill()
        self.controllers.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def client(self) -> kubernetes_api.Cluster:
        """Return the edge that a worker would have."""
        settings = client.Configuration(host=self.url)
        settings.retries = False
        return kubernetes_api.Cluster(client.ApiClient(settings), NAMESPACE)

    def kubeconfig(self, path: Path) -> Path:
        """Write what ``kubectl`` and a worker need to find it."""
        path.write_text(
            f"""apiVersion: v1
kind: Config
current-context: test
clusters: [{{name: test, cluster: {{server: "{self.url}"}}}}]
users: [{{name: test, user: {{}}}}]
contexts:
- name: test
  context: {{cluster: test, user: test, namespace: {NAMESPACE}}}
"""
        )
        return path

    # What is there

    def get(self, resource: str, name: str) -> Json:
        return self.store.get((resource, NAMESPACE, name))

    def names(self, resource: str) -> list[str]:
        found = self.store.find(resource, NAMESPACE)
        return sorted(thing["metadata"]["name"] for thing in found)

    def pods_of(self, job: str) -> list[Json]:
        return [
            pod
            for pod in self.store.find("pods", NAMESPACE)
            if pod["metadata"]["labels"]["job-name"] == job
        ]

    def pod_of(self, job: str) -> Json:
        (pod,) = self.pods_of(job)
        return pod

    # What can go wrong

    def change_pod(self, job: str, **status: Any) -> None:
        """Write into a pod's status."""
        name = self.pod_of(job)["metadata"]["name"]
        self.store.change(
            ("pods", NAMESPACE, name), lambda pod: pod["status"].update(status)
        )

    def delete_pod(self, job: str) -> None:
        """Do what ``kubectl delete pod`` does."""
        name = self.pod_of(job)["metadata"]["name"]
        self.store.delete(("pods", NAMESPACE, name))

    def evict(self, job: str, reason: str = "EvictionByEvictionAPI") -> None:
        """Have a pod leave its node, as a drain or a preemption does."""
        name = self.pod_of(job)["metadata"]["name"]
        key = ("pods", NAMESPACE, name)
        with self.store.lock:
            pod = self.store.change(
                key, lambda pod: add_disruption(pod, reason)
            )
            if reason in EVICTION_EVENTS:
                text = "it has to leave"
                self.controllers.event(
                    pod, "Pod", EVICTION_EVENTS[reason], text
                )
            self.store.delete(key)

    def end_by_kubelet(self, job: str, reason: str, message: str) -> None:
        """Have the kubelet end a pod; the pod stays, and is Failed."""
        pod = self.node.pod_of(job)
        pod.end_reason = (reason, message)
        pod.kill()

    def lose_node(self, job: str) -> None:
        """Cut the node off, and let the cluster find out."""
        self.node.is_lost = True
        name = self.pod_of(job)["metadata"]["name"]
        key = ("pods", NAMESPACE, name)
        with self.store.lock:
            self.store.change(
                key, lambda pod: add_disruption(pod, "DeletionByTaintManager")
            )
            self.store.delete(key)
            # Its grace passed long ago.
            self.store.change(
                key,
                lambda pod: pod["metadata"].update(
                    deletionTimestamp=later(-60)
                ),
            )


def check_job(job: Json) -> None:
    """Hold a Job to the API's schema."""
    try:
        validate(job, VERSION, strict=True)
    except ValidationError as error:
        raise invalid(str(error.message)) from error


__all__ = ["NAMESPACE", "ApiError", "TestCluster"]
