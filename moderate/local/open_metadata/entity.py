"""One entity, and how it is shown."""

import hashlib
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from moderate.local.open_metadata import names
from moderate.local.open_metadata.kinds import ABSENT, Kind

FIRST_VERSION = 0.1
USER = "ingestion-bot"
#: Everything that ``fields=`` can ask for.
EVERY = "*"
Json = dict[str, Any]


def now_ms() -> int:
    """The time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(eq=False)
class Entity:
    """What is known of an entity.

    Attributes:
        kind: What it is.
        name: Its own name.
        parent: In what it lies.
        doc: What was sent of it, in the server's shape.
        change: What the last change changed.
        incremental: The same, until the server forgets it.
        children: What lies in it, by id.
        profiles: A table's, by time.
        column_profiles: Those of its columns, by the column's full name.
        sample: A table's sample rows.
        runs: States of the runs of an ingestion pipeline, by run id.
    """

    kind: Kind
    name: str
    parent: "Entity | None"
    doc: Json
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    version: float = FIRST_VERSION
    updated_at: int = field(default_factory=now_ms)
    deleted: bool = False
    change: Json | None = None
    incremental: Json | None = None
    children: dict[str, "Entity"] = field(default_factory=dict)
    profiles: list[Json] = field(default_factory=list)
    column_profiles: dict[str, list[Json]] = field(default_factory=dict)
    sample: Json | None = None
    runs: dict[str, Json] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """The fully qualified name."""
        return names.join(
            self.parent.full_name if self.parent else None, self.name
        )

    @property
    def service(self) -> "Entity":
        """The service that it belongs to; a service belongs to itself."""
        return self.parent.service if self.parent else self

    def enclosing(self, kind: Kind) -> "Entity | None":
        """It, or what it lies in, whichever is of ``kind``."""
        if self.kind is kind:
            return self
        return self.parent.enclosing(kind) if self.parent else None

    @property
    def etag(self) -> str:
        """Changes with every change."""
        state = f"{self.id} {self.version} {self.updated_at} {self.deleted}"
        return hashlib.sha256(state.encode()).hexdigest()[:16]

    def descendants(self) -> list["Entity"]:
        """All that lies in it, at any depth."""
        found = []
        for child in self.children.values():
            found += [child, *child.descendants()]
        return found


@dataclass(frozen=True)
class View:
    """How entities are shown.

    Args:
        href_base: The beginning of ``href`` values; ``None``: without them.
    """

    href_base: str | None

    def show(
        self,
        entity: Entity,
        asked: Collection[str] = (),
        *,
        href: bool = True,
        incremental: bool = True,
    ) -> Json:
        """Return the entity as the server shows it.

        Args:
            entity: What to show.
            asked: Fields to show beside those that are always shown.
            href: Whether it has an ``href``; its references always have.
            incremental: Whether the change shows as the server's
                ``incrementalChangeDescription``, too.
        """
        shown: Json = {
            "id": entity.id,
            "name": entity.name,
            "fullyQualifiedName": entity.full_name,
            "version": entity.version,
            "updatedAt": entity.updated_at,
            "updatedBy": USER,
            "deleted": entity.deleted,
            **entity.kind.fixed,
            **self._ancestors(entity),
        }
        hidden = entity.kind.asked
        shown |= {
            key: value
            for key, value in entity.doc.items()
            if key not in hidden or key in asked
        }
        shown |= self._empty(entity, asked)
        if href and self.href_base:
            shown["href"] = self._href(entity)
        if entity.change is not None:
            shown["changeDescription"] = entity.change
        if entity.incremental is not None and incremental:
            shown["incrementalChangeDescription"] = entity.incremental
        return shown

    def reference(self, entity: Entity) -> Json:
        """Return the entity as others refer to it."""
        shown = {
            "id": entity.id,
            "type": entity.kind.name,
            "name": entity.name,
            "fullyQualifiedName": entity.full_name,
            "displayName": entity.doc.get("displayName", entity.name),
            "deleted": entity.deleted,
        }
        if self.href_base:
            shown["href"] = self._href(entity)
        return shown

    def _href(self, entity: Entity) -> str:
        return f"{self.href_base}/v1/{entity.kind.path}/{entity.id}"

    def _ancestors(self, entity: Entity) -> Json:
        shown: Json = {}
        each, last = entity.parent, entity
        while each is not None:
            last = each
            field_name = "service" if each.parent is None else each.kind.name
            if entity.kind.name == "tag":
                field_name = each.kind.name
            shown[field_name] = self.reference(each)
            each = each.parent
        if last is not entity and "serviceType" in last.doc:
            shown["serviceType"] = last.doc["serviceType"]
        return shown

    def _empty(self, entity: Entity, asked: Collection[str]) -> Json:
        return {
            name: default
            for name, default in entity.kind.asked.items()
            if name in asked
            and name not in entity.doc
            and default is not ABSENT
        } | _profile(entity, asked)


def _profile(entity: Entity, asked: Collection[str]) -> Json:
    # Not recorded. `profile` at a table is the shape of the model `Table`.
    if "profile" in asked and entity.profiles:
        return {"profile": entity.profiles[-1]}
    return {}
