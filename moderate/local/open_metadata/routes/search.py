"""Search, as far as the client asks for it."""

import hashlib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse, Response

from moderate.local.open_metadata import names
from moderate.local.open_metadata.entity import Entity, View
from moderate.local.open_metadata.errors import ApiError
from moderate.local.open_metadata.kinds import KINDS
from moderate.local.open_metadata.state import Server, ServerDep

Json = dict[str, Any]
# By far what is asked most, so it is looked at first.
NAME = "fullyQualifiedName"
SUFFIX = "_search_index"
SHARDS = {"failed": 0, "skipped": 0, "successful": 1, "total": 1}
# References in the index have no `href`.
INDEXED = View(href_base=None)


def _is_up(server: ServerDep) -> None:
    if server.faults.faults.search_down:
        # The status was recorded, the text was not.
        raise ApiError(500, "Search service is not available")


router = APIRouter(prefix="/api/v1/search", dependencies=[Depends(_is_up)])


@router.get("/fieldQuery")
async def field_query(
    server: ServerDep,
    index: str,
    field_name: Annotated[str, Query(alias="fieldName")],
    field_value: Annotated[str, Query(alias="fieldValue")],
    deleted: str = "false",
    first: Annotated[int, Query(alias="from")] = 0,
    size: int = 10,
) -> Response:
    """Find what has a value, or a shell pattern, in a field."""
    found = [
        source
        for entity in _indexed(server, index, deleted=deleted == "true")
        if field_name != NAME or _matches(entity.full_name, field_value)
        for source in [_source(entity)]
        if _matches(source.get(field_name), field_value)
    ]
    return _answer(index, found, found[first : first + size])


@router.get("/query")
async def query(
    server: ServerDep,
    index: str,
    deleted: str = "false",
    first: Annotated[int, Query(alias="from")] = 0,
    size: int = 10,
) -> Response:
    """Show all of an index; the query language is not emulated."""
    found = [
        _source(entity)
        for entity in _indexed(server, index, deleted=deleted == "true")
    ]
    return _answer(index, found, found[first : first + size])


def _indexed(server: Server, index: str, *, deleted: bool) -> Iterable[Entity]:
    wanted = {each.strip() for each in index.split(",")}
    return (
        entity
        for kind in KINDS
        if wanted & {f"{_snake(kind.name)}{SUFFIX}", kind.name, "all"}
        for entity in server.store.all(kind)
        if entity.deleted == deleted
    )


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def _matches(value: Any, wanted: str) -> bool:
    return isinstance(value, str) and (
        value == wanted or fnmatchcase(value, wanted)
    )


def _source(entity: Entity) -> Json:
    shown = INDEXED.show(
        entity,
        {"tableConstraints", "owners", "domains", "tags", "followers"}
        | {"schemaDefinition"},
        incremental=False,
    )
    shown.pop("changeDescription", None)
    parts = names.split(entity.full_name)
    columns = [column["name"] for column in shown.get("columns", [])]
    return shown | {
        "columnNames": columns,
        "columnNamesFuzzy": " ".join(columns),
        "columnDescriptionStatus": "INCOMPLETE",
        "descriptionSources": {},
        "displayName": shown.get("displayName", entity.name),
        "entityType": entity.kind.name,
        "reviewers": [],
        "tierSources": {},
        "descriptionStatus": (
            "COMPLETE" if shown.get("description") else "INCOMPLETE"
        ),
        "totalVotes": 0,
        "tagSources": {},
        "fqnParts": _name_parts(parts),
        "customPropertiesTyped": [],
        "classificationTags": [],
        "glossaryTags": [],
        "upstreamLineage": [],
        "upstreamEntityRelationship": [],
        "fqnHash": ".".join(map(_md5, parts)),
    }


def _name_parts(parts: list[str]) -> list[str]:
    """Every run of parts but the first ones' own, as the index has them."""
    ends = combinations(range(len(parts) + 1), 2)
    runs = (".".join(parts[first:last]) for first, last in ends)
    return sorted({*map(names.unquote, runs)} - {names.unquote(parts[-1])})


def _md5(part: str) -> str:
    # The server's own way to make keys; nothing is kept secret by it.
    return hashlib.md5(part.encode(), usedforsecurity=False).hexdigest()


def _answer(index: str, found: list[Json], shown: list[Json]) -> Response:
    hits: Json = {
        "hits": [
            {"_id": one["id"], "_index": index, "_score": 1.0, "_source": one}
            for one in shown
        ],
        "total": {"relation": "eq", "value": len(found)},
    }
    if found:
        hits["max_score"] = 1.0
    return JSONResponse(
        {"took": 3, "timed_out": False, "_shards": SHARDS, "hits": hits}
    )
