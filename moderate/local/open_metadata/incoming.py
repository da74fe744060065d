"""From a create request to what is kept of it."""

from typing import Any

from moderate.local.open_metadata import names
from moderate.local.open_metadata.entity import Entity
from moderate.local.open_metadata.kinds import TABLE, Kind

Json = dict[str, Any]
# What a bot's PUT leaves as it is where there is something: the server holds
# that a person wrote it. Not recorded; so in its published source.
CURATED = ("description", "displayName")
# The order of a column's fields, which shows where changes are told.
ORDER = (
    "name",
    "displayName",
    "dataType",
    "arrayDataType",
    "dataLength",
    "precision",
    "scale",
    "dataTypeDisplay",
    "description",
    "fullyQualifiedName",
    "tags",
    "constraint",
    "ordinalPosition",
    "children",
)


def document(kind: Kind, body: Json, full_name: str) -> Json:
    """Return what is kept of a valid create request.

    Args:
        kind: What is created.
        body: The request.
        full_name: The name that it will have.
    """
    kept = {
        key: value
        for key, value in body.items()
        if key not in {"name", kind.parent} and value is not None
    }
    if kind is TABLE:
        kept["columns"] = columns(body["columns"], full_name)
    return kept


def columns(given: list[Json], full_name: str) -> list[Json]:
    """Return columns with what the server adds to them."""
    return [_column(one, full_name) for one in given]


def _column(given: Json, parent: str) -> Json:
    full_name = names.join(parent, given["name"])
    display = given.get("dataTypeDisplay") or given["dataType"]
    column = {
        "tags": [],
        **{key: value for key, value in given.items() if value is not None},
        "dataTypeDisplay": display.lower(),
        "fullyQualifiedName": full_name,
        "children": columns(given.get("children") or [], full_name),
    }
    return {key: column[key] for key in sorted(column, key=_rank)}


def _rank(key: str) -> int:
    return ORDER.index(key) if key in ORDER else len(ORDER)


def sort_constraints(doc: Json) -> None:
    """Sort the columns of a table's constraints, as every change does."""
    for constraint in doc.get("tableConstraints", ()):
        constraint["columns"] = sorted(constraint.get("columns") or [])


def merge(entity: Entity, sent: Json, *, override: bool) -> Json:
    """Return what an entity becomes by a PUT.

    Args:
        entity: It, as it is.
        sent: What is kept of the request.
        override: Whether what people may have written is replaced, too.
    """
    # What no create request can say stays, such as owners.
    kept = {
        key: value
        for key, value in entity.doc.items()
        if key not in entity.kind.create.model_fields
        or (key in CURATED and value and not override)
        or key in {"owners", "tags", "domains", "tableProfilerConfig"}
    }
    merged = {**sent, **kept}
    if entity.kind is TABLE and not override:
        merged["columns"] = _keep_words(
            entity.doc.get("columns", []), sent["columns"]
        )
    return merged


def _keep_words(old: list[Json], new: list[Json]) -> list[Json]:
    was = {column["name"]: column for column in old}
    result = []
    for column in new:
        before = was.get(column["name"], {})
        words = {key: before[key] for key in CURATED if before.get(key)}
        children = _keep_words(
            before.get("children") or [], column["children"]
        )
        result.append({**column, **words, "children": children})
    return result
