"""All entities, in memory."""

import copy
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import jsonpatch

from moderate.local.open_metadata import changes, incoming, names
from moderate.local.open_metadata.entity import Entity, View, now_ms
from moderate.local.open_metadata.errors import ApiError, not_found, validate
from moderate.local.open_metadata.kinds import PARENTS, Kind
from moderate.local.open_metadata.models import load

Json = dict[str, Any]
# A patch of these changes nothing, as at the server.
READ_ONLY = frozenset(
    {
        "id",
        "name",
        "fullyQualifiedName",
        "href",
        "version",
        "updatedAt",
        "updatedBy",
        "deleted",
        "changeDescription",
        "incrementalChangeDescription",
    }
)


class Change(StrEnum):
    """What became of a request, as ``x-openmetadata-change`` says it."""

    CREATED = "entityCreated"
    UPDATED = "entityUpdated"
    NONE = "entityNoChange"
    SOFT_DELETED = "entitySoftDeleted"
    DELETED = "entityDeleted"
    RESTORED = "entityRestored"


class Store:
    """The entities.

    Args:
        view: How they are shown; PATCH works on what is shown.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._by_id: dict[str, Entity] = {}
        self._by_name: dict[tuple[str, str], Entity] = {}

    def all(self, kind: Kind) -> Iterable[Entity]:
        """All entities of a kind, deleted ones too."""
        return (each for each in self._by_id.values() if each.kind is kind)

    def find(
        self, kind: Kind, name: str, *, deleted: bool | None = False
    ) -> Entity | None:
        """Return what has the full name ``name``.

        Args:
            kind: Its kind.
            name: Its full name.
            deleted: Whether it must be deleted; ``None``: either.
        """
        full_name = ".".join(map(names.quote, names.split(name)))
        found = self._by_name.get((kind.name, full_name))
        return found if _fits(found, deleted=deleted) else None

    def get(
        self, kind: Kind, name: str, *, deleted: bool | None = False
    ) -> Entity:
        """Return what has the full name ``name``; see ``find``.

        Raises:
            ApiError: There is none.
        """
        if found := self.find(kind, name, deleted=deleted):
            return found
        raise not_found(kind.name, name)

    def by_id(
        self, kind: Kind, number: str, *, deleted: bool | None = False
    ) -> Entity:
        """Return what has the id ``number``; see ``find``.

        Raises:
            ApiError: There is none.
        """
        found = self._by_id.get(number)
        if found and found.kind is kind and _fits(found, deleted=deleted):
            return found
        raise not_found(kind.name, number)

    def any_by_id(self, number: str) -> Entity:
        """Return what has the id ``number``, of whatever kind.

        Raises:
            ApiError: There is none.
        """
        if found := self._by_id.get(number):
            return found
        raise not_found("entity", number)

    def locate(self, kind: Kind, body: Json) -> tuple[Entity | None, str]:
        """Return the parent and the full name of a valid create request.

        Raises:
            ApiError: The parent isn't there.
        """
        parent = self._parent(kind, body)
        above = parent.full_name if parent else None
        return parent, names.join(above, body["name"])

    def create(self, kind: Kind, body: Json) -> Entity:
        """Create what must not be there yet, from a valid request.

        Raises:
            ApiError: There is one, or its parent isn't there.
        """
        parent, full_name = self.locate(kind, body)
        if self.find(kind, full_name, deleted=None):
            raise ApiError(409, "Entity already exists")
        return self._add(kind, parent, body)

    def put(
        self, kind: Kind, body: Json, *, override: bool = False
    ) -> tuple[Entity, Change]:
        """Create an entity or change it; a deleted one comes back.

        Args:
            kind: Its kind.
            body: A valid create request.
            override: See ``incoming.merge``.

        Raises:
            ApiError: Its parent isn't there.
        """
        parent, full_name = self.locate(kind, body)
        found = self.find(kind, full_name, deleted=None)
        if found is None:
            return self._add(kind, parent, body), Change.CREATED
        if found.deleted:
            self.restore(found)
        sent = incoming.document(kind, body, found.full_name)
        merged = incoming.merge(found, sent, override=override)
        return found, self._change(found, merged)

    def patch(self, entity: Entity, operations: list[Json]) -> Change:
        """Apply a JSON patch (RFC 6902).

        Raises:
            ApiError: It is wrong, or the entity would be.
        """
        kind = entity.kind
        before = self._view.show(entity, {*kind.asked, *kind.whole})
        try:
            after = jsonpatch.apply_patch(before, operations)
        except (
            jsonpatch.JsonPatchException,
            jsonpatch.JsonPointerException,
        ) as error:
            # Not recorded.
            raise ApiError(400, f"Invalid JSON patch: {error}") from error
        validate(after, load(kind.entity_model))
        changed = {
            key: copy.deepcopy(value)
            for key, value in after.items()
            if key not in READ_ONLY
            and (key in entity.doc or before.get(key) != value)
        }
        lost = before.keys() - after.keys()
        kept = {k: v for k, v in entity.doc.items() if k not in lost}
        return self._change(entity, {**kept, **changed})

    def delete(self, entity: Entity, *, recursive: bool, hard: bool) -> Change:
        """Delete an entity.

        Args:
            entity: Which.
            recursive: With all that lies in it.
            hard: For good; otherwise it is only marked.

        Raises:
            ApiError: Something lies in it.
        """
        below = entity.descendants()
        if not recursive and any(not each.deleted for each in below):
            # Not recorded; so in the server's published source.
            raise ApiError(400, f"{entity.kind.name} is not empty")
        if hard:
            for each in (*below, entity):
                self._forget(each)
            return Change.DELETED
        for each in (*below, entity):
            if not each.deleted:
                self._mark(each, deleted=True)
        return Change.SOFT_DELETED

    def restore(self, entity: Entity) -> None:
        """Bring a deleted entity back, with all that lies in it.

        Not recorded; so in the server's published source, which does not
        ask whether that had been deleted with it or before.
        """
        for each in (entity, *entity.descendants()):
            if each.deleted:
                self._mark(each, deleted=False)

    def touch(self, entity: Entity) -> None:
        """Note that something beside the entity's document changed."""
        entity.updated_at = now_ms()

    def _parent(self, kind: Kind, body: Json) -> Entity | None:
        if not kind.parent:
            return None
        named = body[kind.parent]
        kinds = PARENTS[kind.name]
        if isinstance(named, dict):
            # An entity reference instead of a name.
            number = str(named.get("id"))
            found = self._by_id.get(number)
            if found and found.kind in kinds and not found.deleted:
                return found
            raise not_found(kinds[0].name, number)
        for each in kinds:
            if parent := self.find(each, named):
                return parent
        raise not_found(kinds[0].name, named)

    def _add(self, kind: Kind, parent: Entity | None, body: Json) -> Entity:
        entity = Entity(kind, body["name"], parent, doc={})
        entity.doc = incoming.document(kind, body, entity.full_name)
        self._by_id[entity.id] = entity
        self._by_name[kind.name, entity.full_name] = entity
        if parent is not None:
            parent.children[entity.id] = entity
        return entity

    def _change(self, entity: Entity, doc: Json) -> Change:
        if doc == entity.doc:
            return Change.NONE
        incoming.sort_constraints(entity.doc)
        incoming.sort_constraints(doc)
        if doc == entity.doc:
            return Change.NONE
        change = changes.compare(entity.doc, doc, entity.version)
        entity.doc = doc
        self.touch(entity)
        if change is None:
            return Change.NONE
        entity.version = changes.next_version(entity.version, change)
        self._note(entity, change)
        return Change.UPDATED

    def _mark(self, entity: Entity, *, deleted: bool) -> None:
        change = changes.nothing(entity.version)
        change["fieldsUpdated"].append(
            {"name": "deleted", "oldValue": not deleted, "newValue": deleted}
        )
        entity.deleted = deleted
        entity.version = round(entity.version + changes.MINOR, 1)
        self._note(entity, change)

    def _note(self, entity: Entity, change: Json) -> None:
        entity.change = entity.incremental = change
        self.touch(entity)

    def _forget(self, entity: Entity) -> None:
        self._by_id.pop(entity.id, None)
        self._by_name.pop((entity.kind.name, entity.full_name), None)
        if entity.parent is not None:
            entity.parent.children.pop(entity.id, None)


def _fits(entity: Entity | None, *, deleted: bool | None) -> bool:
    return entity is not None and deleted in (None, entity.deleted)
