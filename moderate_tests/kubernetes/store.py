"""What an API server keeps: objects, versions, and a history for watches."""

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Condition, RLock
from typing import Any
from uuid import uuid4

Json = dict[str, Any]
Key = tuple[str, str, str]
"""Resource, namespace, name."""

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
MAX_CHARS = 63
GRACE_SECONDS = 30
OVER = ("Succeeded", "Failed")


class ApiError(Exception):
    """An answer that isn't a success."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": code,
            "reason": reason,
            "message": message,
        }
        self.code = code


@dataclass(frozen=True)
class Change:
    """One entry of the history."""

    version: int
    type: str
    key: Key
    thing: Json


@dataclass
class Store:
    """All objects of a cluster, under one lock."""

    lock: RLock = field(default_factory=RLock)
    objects: dict[Key, Json] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    version: int = 100
    forgotten: int = 0
    created_jobs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.changed = Condition(self.lock)

    def get(self, key: Key) -> Json:
        with self.lock:
            if key not in self.objects:
                raise not_found(key)
            return copy.deepcopy(self.objects[key])

    def find(self, resource: str, namespace: str = "") -> list[Json]:
        with self.lock:
            return [
                copy.deepcopy(thing)
                for key, thing in self.objects.items()
                if key[0] == resource and namespace in ("", key[1])
            ]

    def create(self, resource: str, namespace: str, thing: Json) -> Json:
        thing = copy.deepcopy(thing)
        metadata = thing.setdefault("metadata", {})
        if metadata.get("generateName") and not metadata.get("name"):
            metadata["name"] = f"{metadata['generateName']}{uuid4().hex[:5]}"
        _check(thing)
        key = (resource, namespace, metadata["name"])
        with self.lock:
            if key in self.objects:
                raise ApiError(
                    409,
                    "AlreadyExists",
                    f'{resource} "{metadata["name"]}" already exists',
                )
            metadata.update(
                namespace=namespace,
                uid=str(uuid4()),
                creationTimestamp=stamp(),
            )
            thing.setdefault("status", {})
            if resource == "jobs":
                self.created_jobs.append(metadata["name"])
            self._put("ADDED", key, thing)
            return copy.deepcopy(thing)

    def change(self, key: Key, edit: Callable[[Json], None]) -> Json:
        """Edit an object; what has not changed makes no version."""
        with self.lock:
            thing = self.get(key)
            edit(thing)
            if thing != self.objects[key]:
                _check(thing)
                self._put("MODIFIED", key, thing)
                self._remove_if_free(key)
            return copy.deepcopy(thing)

    def delete(self, key: Key, grace: int | None = None) -> Json:
        """Delete an object, or mark it where something must happen first."""
        with self.lock:
            thing = self.get(key)
            if key[0] == "pods":
                grace = _grace(thing, grace)
            now = datetime.now(UTC)

            def mark(thing: Json) -> None:
                metadata = thing["metadata"]
                old = metadata.get("deletionGracePeriodSeconds")
                seconds = grace or 0
                if old is not None and old <= seconds:
                    return
                metadata["deletionGracePeriodSeconds"] = seconds
                until = now + timedelta(seconds=seconds)
                metadata["deletionTimestamp"] = stamp(until)

            self.change(key, mark)
            return thing

    def _remove_if_free(self, key: Key) -> None:
        metadata = self.objects[key]["metadata"]
        if (
            metadata.get("deletionTimestamp")
            and not metadata.get("finalizers")
            and not metadata.get("deletionGracePeriodSeconds")
        ):
            thing = self.objects.pop(key)
            self._note("DELETED", key, thing)

    def forget_history(self) -> None:
        """Compact, as etcd does: older versions can't be watched from."""
        with self.lock:
            self.history.clear()
            self.forgotten = self.version
            self.changed.notify_all()

    def since(self, version: int) -> Iterator[Change]:
        """Yield the changes after a version.

        Raises:
            ApiError: It is forgotten (410).
        """
        with self.lock:
            if version < self.forgotten:
                message = f"too old resource version: {version}"
                raise ApiError(410, "Expired", message)
            found = [c for c in self.history if c.version > version]
        yield from found

    def _put(self, what: str, key: Key, thing: Json) -> None:
        self.objects[key] = thing
        self._note(what, key, thing)

    def _note(self, what: str, key: Key, thing: Json) -> None:
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)
        self.history.append(
            Change(self.version, what, key, copy.deepcopy(thing))
        )
        self.changed.notify_all()


def _grace(pod: Json, asked: int | None) -> int:
    """Return what a pod's deletion waits for: none if nothing runs."""
    if not pod["spec"].get("nodeName"):
        return 0
    if pod["status"].get("phase") in OVER:
        return 0
    if asked is not None:
        return asked
    return int(pod["spec"].get("terminationGracePeriodSeconds", GRACE_SECONDS))


def _check(thing: Json) -> None:
    metadata = thing["metadata"]
    name = metadata.get("name") or ""
    if len(name) > MAX_CHARS or not NAME.fullmatch(name):
        raise invalid(f"metadata.name: {name!r} must be no more than 63")
    for label, value in (metadata.get("labels") or {}).items():
        short = label.rpartition("/")[2]
        if not LABEL_VALUE.fullmatch(value) or len(value) > MAX_CHARS:
            raise invalid(f"metadata.labels: {value!r} is no label value")
        if not short or not LABEL_VALUE.fullmatch(short):
            raise invalid(f"metadata.labels: {label!r} is no label")


def invalid(message: str) -> ApiError:
    return ApiError(422, "Invalid", message)


def not_found(key: Key) -> ApiError:
    return ApiError(404, "NotFound", f'{key[0]} "{key[2]}" not found')


def stamp(when: datetime | None = None) -> str:
    """Return a time as the API writes it: whole seconds."""
    return (when or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def merge(thing: Json, patch: Json) -> None:
    """Apply a JSON merge patch (RFC 7386)."""
    for name, value in patch.items():
        if value is None:
            thing.pop(name, None)
        elif isinstance(value, dict):
            old = thing.get(name)
            if not isinstance(old, dict):
                old = thing[name] = {}
            merge(old, value)
        else:
            thing[name] = value
