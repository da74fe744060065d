"""One machine: places pods on itself and has them run."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

from moderate_tests.kubernetes.pod import Pod
from moderate_tests.kubernetes.status import set_condition
from moderate_tests.kubernetes.store import (
    OVER,
    ApiError,
    Json,
    Key,
    Store,
)

NODE = "node-1"
TICK_SECONDS = 0.05


class Node:
    """A kubelet, and the scheduler for it.

    Attributes:
        is_full: Nothing finds room.
        is_lost: It says nothing any more; what runs goes on.
        missing_images: Images that can't be pulled, with what is said.
        starts: The Jobs whose command was started, one entry each time.
        spans: The Jobs whose command has ended, and when it ran.
        ends: It is being taken down.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.is_full = False
        self.is_lost = False
        self.missing_images: dict[str, str] = {}
        self.pods: dict[str, Pod] = {}
        self.starts: list[str] = []
        self.spans: list[tuple[str, float, float]] = []
        self._store = store
        self._folder = folder
        self.ends = False
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all that runs."""
        self.ends = True
        self._thread.join()
        for pod in self.pods.values():
            pod.kill()
        for pod in self.pods.values():
            pod.thread.join()

    def _run(self) -> None:
        while not self.ends:
            for thing in self._store.find("pods"):
                if not self.is_lost:
                    self._see_to(thing)
            time.sleep(TICK_SECONDS)

    def _see_to(self, thing: Json) -> None:
        key = (
            "pods",
            thing["metadata"]["namespace"],
            thing["metadata"]["name"],
        )
        try:
            if "nodeName" not in thing["spec"]:
                self._place(key, thing)
            elif (
                thing["metadata"]["uid"] not in self.pods
                and thing["status"].get("phase") not in OVER
            ):
                self._adopt(key, thing)
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def _place(self, key: Key, thing: Json) -> None:
        def edit(pod: Json) -> None:
            if self.is_full:
                set_condition(
                    pod,
                    "PodScheduled",
                    "False",
                    "Unschedulable",
                    "0/1 nodes are available: 1 Insufficient memory.",
                )
            else:
                pod["spec"]["nodeName"] = NODE
                set_condition(pod, "PodScheduled", "True")

        if not thing["metadata"].get("deletionTimestamp"):
            self._store.change(key, edit)

    def _adopt(self, key: Key, thing: Json) -> None:
        pod = Pod(self, self._store, key, thing, self._folder)
        self.pods[thing["metadata"]["uid"]] = pod
        pod.thread.start()

    def logs(self, thing: Json, query: dict[str, str]) -> Iterator[bytes]:
        """Read a pod's log, as the API server asks a kubelet for it."""
        pod = self.pods.get(thing["metadata"]["uid"])
        if self.is_lost:
            raise ApiError(
                500, "InternalError", "dial tcp 10.0.0.1:10250: i/o timeout"
            )
        if pod is None or pod.log is None:
            name = thing["metadata"]["name"]
            raise ApiError(
                400,
                "BadRequest",
                f'container "analysis" in pod "{name}" is waiting to start:'
                " ContainerCreating",
            )
        return pod.log.read(query)

    def pod_of(self, job: str) -> Pod:
        """Return the newest pod of a Job that this node has had."""
        found = [
            pod
            for pod in self.pods.values()
            if pod.thing["metadata"]["labels"].get("job-name") == job
        ]
        return found[-1]
