"""What kube-controller-manager does for Jobs: pods, ends, garbage, TTL."""

import time
from threading import Thread
from typing import Any
from uuid import uuid4

from moderate_tests.kubernetes.store import (
    OVER,
    ApiError,
    Json,
    Key,
    Store,
    stamp,
)

TRACKING = "batch.kubernetes.io/job-tracking"
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
TICK_SECONDS = 0.1
CREATE_BACKOFF_SECONDS = 0.5


class Controllers:
    """The controllers' loops, in one thread.

    Attributes:
        rejections: By namespace, why its pods are rejected; the Job is
            accepted all the same, and only events tell of it.
    """

    def __init__(self, store: Store) -> None:
        self.rejections: dict[str, str] = {}
        self._store = store
        self._started: dict[str, float] = {}
        self._finished: dict[str, float] = {}
        self._tried: dict[str, float] = {}
        self._ends = False
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ends = True
        self._thread.join()

    def _run(self) -> None:
        seen = 0
        while not self._ends:
            with self._store.lock:
                if seen == self._store.version:
                    self._store.changed.wait(TICK_SECONDS)
                seen = self._store.version
            for job in self._store.find("jobs"):
                try:
                    self._see_to(job)
                except ApiError as error:
                    if error.code not in (404, 409):
                        raise
            self._collect_garbage()

    def event(self, about: Json, kind: str, reason: str, text: str) -> None:
        """Write an event about an object."""
        metadata = about["metadata"]
        self._store.create(
            "events",
            metadata["namespace"],
            {
                "metadata": {
                    "name": f"{metadata['name'][:40]}.{uuid4().hex[:12]}"
                },
                "involvedObject": {
                    "kind": kind,
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
                "reason": reason,
                "message": text,
                "lastTimestamp": stamp(),
            },
        )

    # Jobs

    def _see_to(self, job: Json) -> None:
        uid = job["metadata"]["uid"]
        if job["metadata"].get("deletionTimestamp"):
            self._delete_dependents(job)
            return
        if _condition(job, "Complete", "Failed"):
            self._expire(job)
            return
        if job["spec"].get("suspend"):
            self._suspend(job)
            return
        self._started.setdefault(uid, time.monotonic())
        pods = self._pods_of(job)
        failure = self._failure(job, pods)
        if failure:
            self._fail(job, pods, failure)
        elif any(p["status"].get("phase") == "Succeeded" for p in pods):
            self._complete(job, pods)
        elif not pods:
            self._make_pod(job)
        else:
            self._set(job, active=1, startTime=stamp())

    def _failure(self, job: Json, pods: list[Json]) -> tuple[str, str] | None:
        target = _condition(job, "FailureTarget")
        if target:
            return target["reason"], target["message"]
        limit = job["spec"].get("activeDeadlineSeconds")
        age = time.monotonic() - self._started[job["metadata"]["uid"]]
        if limit is not None and age >= limit:
            return (
                "DeadlineExceeded",
                "Job was active longer than specified deadline",
            )
        if any(map(_is_failed, pods)):
            return (
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            )
        # A pod that was counted and is gone: the status remembers it.
        if job["status"].get("active") and not pods:
            return (
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            )
        return None

    def _fail(
        self, job: Json, pods: list[Json], failure: tuple[str, str]
    ) -> None:
        self._set_condition(job, "FailureTarget", *failure)
        for pod in pods:
            if pod["status"].get("phase") not in OVER:
                self._store.delete(_key("pods", pod))
            self._untrack(pod)
        # Only once nothing of it is there or all has ended.
        left = [
            p
            for p in self._pods_of(job)
            if p["status"].get("phase") not in OVER
        ]
        if not left:
            self._set_condition(job, "Failed", *failure)
            self._set(job, active=0, failed=1)

    def _complete(self, job: Json, pods: list[Json]) -> None:
        self._set_condition(job, "SuccessCriteriaMet", "CompletionsReached")
        for pod in pods:
            self._untrack(pod)
        self._set_condition(job, "Complete", "CompletionsReached")
        self._set(job, active=0, succeeded=1, completionTime=stamp())

    def _suspend(self, job: Json) -> None:
        self._started.pop(job["metadata"]["uid"], None)
        for pod in self._pods_of(job):
            self._store.delete(_key("pods", pod))
            self._untrack(pod)
        self._set_condition(job, "Suspended", "JobSuspended")

    def _make_pod(self, job: Json) -> None:
        uid = job["metadata"]["uid"]
        now = time.monotonic()
        if now - self._tried.get(uid, -60.0) < CREATE_BACKOFF_SECONDS:
            return
        self._tried[uid] = now
        namespace = job["metadata"]["namespace"]
        name = job["metadata"]["name"]
        refused = self._refusal(job)
        if refused:
            text = f'Error creating: pods "{name}-" is forbidden: {refused}'
            self.event(job, "Job", "FailedCreate", text)
            return
        template = job["spec"]["template"]
        pod = self._store.create(
            "pods",
            namespace,
            {
                "metadata": {
                    **template["metadata"],
                    "generateName": f"{name[:57]}-",
                    "labels": {
                        **template["metadata"].get("labels", {}),
                        "batch.kubernetes.io/job-name": name,
                        "job-name": name,
                        "batch.kubernetes.io/controller-uid": uid,
                    },
                    "finalizers": [TRACKING],
                    "ownerReferences": [
                        {
                            "apiVersion": "batch/v1",
                            "kind": "Job",
                            "name": name,
                            "uid": uid,
                            "controller": True,
                            "blockOwnerDeletion": True,
                        }
                    ],
                },
                "spec": template["spec"],
                "status": {"phase": "Pending"},
            },
        )
        self._set(job, active=1, startTime=stamp())
        text = f"Created pod: {pod['metadata']['name']}"
        self.event(job, "Job", "SuccessfulCreate", text)

    def _refusal(self, job: Json) -> str:
        spec = job["spec"]["template"]["spec"]
        account = spec.get("serviceAccountName", "default")
        key = ("serviceaccounts", job["metadata"]["namespace"], account)
        if account != "default" and key not in self._store.objects:
            return (
                "error looking up service account"
                f' {key[1]}/{account}: serviceaccount "{account}" not found'
            )
        return self.rejections.get(job["metadata"]["namespace"], "")

    def _expire(self, job: Json) -> None:
        uid = job["metadata"]["uid"]
        since = self._finished.setdefault(uid, time.monotonic())
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is not None and time.monotonic() - since >= ttl:
            self._store.change(_key("jobs", job), _foreground)
            self._store.delete(_key("jobs", job))

    def _pods_of(self, job: Json) -> list[Json]:
        uid = job["metadata"]["uid"]
        return [
            pod
            for pod in self._store.find("pods", job["metadata"]["namespace"])
            if any(
                owner["uid"] == uid
                for owner in pod["metadata"].get("ownerReferences") or []
            )
        ]

    def _untrack(self, pod: Json) -> None:
        def edit(thing: Json) -> None:
            finalizers = thing["metadata"].get("finalizers") or []
            thing["metadata"]["finalizers"] = [
                f for f in finalizers if f != TRACKING
            ]

        self._change(_key("pods", pod), edit)

    def _set(self, job: Json, **status: Any) -> None:
        def edit(thing: Json) -> None:
            if "startTime" in thing["status"]:
                status.pop("startTime", None)
            thing["status"].update(status)

        self._change(_key("jobs", job), edit)

    def _set_condition(
        self, job: Json, kind: str, reason: str, message: str = ""
    ) -> None:
        def edit(thing: Json) -> None:
            if _condition(thing, kind):
                return
            thing["status"].setdefault("conditions", []).append(
                {
                    "type": kind,
                    "status": "True",
                    "reason": reason,
                    "message": message,
                    "lastTransitionTime": stamp(),
                }
            )

        self._change(_key("jobs", job), edit)

    def _change(self, key: Key, edit: Any) -> None:
        try:
            self._store.change(key, edit)
        except ApiError as error:
            if error.code != 404:
                raise

    # Garbage

    def _delete_dependents(self, job: Json) -> None:
        finalizers = job["metadata"].get("finalizers") or []
        pods = self._pods_of(job)
        if ORPHAN in finalizers:
            for pod in pods:
                self._change(
                    _key("pods", pod),
                    lambda p: p["metadata"].update(
                        ownerReferences=[], finalizers=[]
                    ),
                )
            pods = []
        for pod in pods:
            self._store.delete(_key("pods", pod))
            self._untrack(pod)
        if not self._pods_of(job):
            self._change(
                _key("jobs", job),
                lambda j: j["metadata"].update(finalizers=[]),
            )

    def _collect_garbage(self) -> None:
        alive = {
            thing["metadata"]["uid"] for thing in self._store.find("jobs")
        }
        for resource in ("pods", "secrets"):
            for thing in self._store.find(resource):
                owners = thing["metadata"].get("ownerReferences") or []
                if not owners or any(o["uid"] in alive for o in owners):
                    continue
                key = _key(resource, thing)
                try:
                    self._store.delete(key)
                    if resource == "pods":
                        self._untrack(thing)
                except ApiError as error:
                    if error.code != 404:
                        raise


def _foreground(job: Json) -> None:
    job["metadata"]["finalizers"] = [FOREGROUND]


def _is_failed(pod: Json) -> bool:
    """Also one that is being deleted: nobody knows how it would end."""
    phase = pod["status"].get("phase")
    going = pod["metadata"].get("deletionTimestamp")
    return phase == "Failed" or bool(going and phase != "Succeeded")


def _condition(thing: Json, *kinds: str) -> Json | None:
    found = thing["status"].get("conditions") or []
    return next((c for c in found if c["type"] in kinds), None)


def _key(resource: str, thing: Json) -> Key:
    metadata = thing["metadata"]
    return (resource, metadata["namespace"], metadata["name"])
