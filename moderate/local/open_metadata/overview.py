"""What arrived, as a tree that a person or a test can read."""

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, Field

from moderate.local.open_metadata.entity import Entity
from moderate.local.open_metadata.kinds import (
    CONTAINER,
    DATABASE_SCHEMA,
    SERVICES,
    STORED_PROCEDURE,
    TABLE,
    Kind,
)
from moderate.local.open_metadata.store import Store


class Profile(BaseModel):
    """A table's latest profile."""

    timestamp: int = Field(description="Milliseconds since 1970.")
    rows: float | None
    columns: float | None
    profiled_columns: int


class Leaf(BaseModel):
    """A table, a stored procedure, or a container."""

    id: str
    kind: str
    name: str
    full_name: str
    description: str | None
    table_type: str | None
    columns: int
    constraints: int
    version: float
    updated_at: int = Field(description="Milliseconds since 1970.")
    deleted: bool
    profile: Profile | None
    sample_rows: int


class Folder(BaseModel):
    """A schema; also a storage service's own contents."""

    name: str
    full_name: str
    deleted: bool
    updated_at: int
    leaves: list[Leaf]


class Service(BaseModel):
    """A service and all that lies in it."""

    name: str
    kind: str
    type: str | None
    deleted: bool
    updated_at: int
    folders: list[Folder]

    def leaves(self, *, deleted: bool = False) -> list[Leaf]:
        """All tables and the like, present or deleted ones."""
        return [
            leaf
            for folder in self.folders
            for leaf in folder.leaves
            if leaf.deleted == deleted
        ]


class Overview(BaseModel):
    """Everything."""

    services: list[Service]
    counts: dict[str, int] = Field(
        description="Entities that are not deleted, by kind."
    )
    deleted: dict[str, int] = Field(
        description="Entities that are marked as deleted, by kind."
    )


def overview(
    store: Store, kinds: Sequence[Kind], service: str | None = None
) -> Overview:
    """Describe what is in the store.

    Args:
        store: It.
        kinds: What to count.
        service: Only the service of this name.
    """
    return Overview(
        services=[
            _service(each)
            for kind in SERVICES
            for each in _sorted(store.all(kind))
            if service in (None, each.name)
        ],
        counts=_count(store, kinds, deleted=False),
        deleted=_count(store, kinds, deleted=True),
    )


def _count(
    store: Store, kinds: Sequence[Kind], *, deleted: bool
) -> dict[str, int]:
    numbers = {
        kind.name: sum(each.deleted == deleted for each in store.all(kind))
        for kind in kinds
    }
    return {name: number for name, number in numbers.items() if number}


def _service(service: Entity) -> Service:
    below = service.descendants()
    folders = [each for each in below if each.kind is DATABASE_SCHEMA]
    if any(each.kind is CONTAINER for each in below):
        folders.append(service)
    return Service(
        name=service.name,
        kind=service.kind.name,
        type=service.doc.get("serviceType"),
        deleted=service.deleted,
        updated_at=service.updated_at,
        folders=[_folder(each) for each in _sorted(folders)],
    )


def _folder(folder: Entity) -> Folder:
    leaves = [
        each
        for each in folder.children.values()
        if each.kind in (TABLE, STORED_PROCEDURE, CONTAINER)
    ]
    return Folder(
        name=folder.name,
        full_name=folder.full_name,
        deleted=folder.deleted,
        updated_at=folder.updated_at,
        leaves=[describe(each) for each in _sorted(leaves)],
    )


def describe(leaf: Entity) -> Leaf:
    """Describe a table, a stored procedure, or a container."""
    return Leaf(
        id=leaf.id,
        kind=leaf.kind.name,
        name=leaf.name,
        full_name=leaf.full_name,
        description=leaf.doc.get("description"),
        table_type=leaf.doc.get("tableType"),
        columns=len(leaf.doc.get("columns", ())),
        constraints=len(leaf.doc.get("tableConstraints", ())),
        version=leaf.version,
        updated_at=leaf.updated_at,
        deleted=leaf.deleted,
        profile=_profile(leaf),
        sample_rows=len((leaf.sample or {}).get("rows") or ()),
    )


def _profile(leaf: Entity) -> Profile | None:
    if not leaf.profiles:
        return None
    latest = leaf.profiles[-1]
    return Profile(
        timestamp=latest["timestamp"],
        rows=latest.get("rowCount"),
        columns=latest.get("columnCount"),
        profiled_columns=len(leaf.column_profiles),
    )


def _sorted(entities: Iterable[Entity]) -> list[Entity]:
    return sorted(entities, key=lambda each: each.full_name)
