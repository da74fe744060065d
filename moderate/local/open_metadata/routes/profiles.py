"""Profiles and sample rows of tables.

None of this was recorded: paths, requests and what is read of the answers are
those of the client (``metadata.ingestion.ometa.mixins.table_mixin`` of
release 2.0.6.0), and requests are validated with its models.
"""

from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request

from moderate.local.open_metadata import bodies, names
from moderate.local.open_metadata.entity import Entity
from moderate.local.open_metadata.errors import validate
from moderate.local.open_metadata.kinds import TABLE
from moderate.local.open_metadata.models import load
from moderate.local.open_metadata.state import Server, ServerDep

router = APIRouter(prefix="/api/v1/tables")

PROFILE = "api.data.createTableProfile.CreateTableProfileRequest"
SAMPLE = "entity.data.table.TableData"
CONFIG = "entity.data.table.TableProfilerConfig"
FOREVER = 1 << 62
Json = dict[str, Any]
Id = Annotated[UUID, Path(alias="id")]
Start = Annotated[int, Query(alias="startTs")]
End = Annotated[int, Query(alias="endTs")]


@router.put("/{id:uuid}/tableProfile")
async def put_profile(
    server: ServerDep, request: Request, entity_id: Id
) -> Json:
    """Keep a table's profile and those of its columns."""
    table = server.store.by_id(TABLE, str(entity_id))
    body = await _read(request, PROFILE)
    _keep(table.profiles, body["tableProfile"])
    for profile in body.get("columnProfile") or ():
        column = names.join(table.full_name, profile["name"])
        _keep(table.column_profiles.setdefault(column, []), profile)
    return server.view.show(table, {"profile"})


@router.get("/{fqn:path}/tableProfile/latest")
async def latest_profile(server: ServerDep, fqn: str) -> Json:
    """Show a table with its latest profile and those of its columns."""
    table = server.store.get(TABLE, fqn)
    shown = server.view.show(table, {"profile", "customMetrics"})
    return shown | {"columns": list(_profiled(table, shown["columns"]))}


@router.get("/{fqn:path}/tableProfile")
async def table_profiles(
    server: ServerDep, fqn: str, start: Start = 0, end: End = FOREVER
) -> Json:
    """Show a table's profiles between two moments, in milliseconds."""
    return _between(server.store.get(TABLE, fqn).profiles, start, end)


@router.get("/{fqn:path}/columnProfile")
async def column_profiles(
    server: ServerDep, fqn: str, start: Start = 0, end: End = FOREVER
) -> Json:
    """Show a column's profiles between two moments, in milliseconds."""
    parts = names.split(fqn)
    table = server.store.get(TABLE, ".".join(parts[:4]))
    return _between(table.column_profiles.get(fqn, []), start, end)


@router.put("/{id:uuid}/sampleData")
async def put_sample(
    server: ServerDep, request: Request, entity_id: Id
) -> Json:
    """Keep a table's sample rows."""
    table = server.store.by_id(TABLE, str(entity_id))
    table.sample = await _read(request, SAMPLE)
    return _with_sample(server, table)


@router.get("/{id:uuid}/sampleData")
async def read_sample(server: ServerDep, entity_id: Id) -> Json:
    """Show a table with its sample rows."""
    return _with_sample(server, server.store.by_id(TABLE, str(entity_id)))


@router.delete("/{id:uuid}/sampleData")
async def delete_sample(server: ServerDep, entity_id: Id) -> Json:
    """Forget a table's sample rows."""
    table = server.store.by_id(TABLE, str(entity_id))
    table.sample = None
    return server.view.show(table)


@router.put("/{id:uuid}/tableProfilerConfig")
async def put_config(
    server: ServerDep, request: Request, entity_id: Id
) -> Json:
    """Keep how a table is to be profiled."""
    table = server.store.by_id(TABLE, str(entity_id))
    table.doc["tableProfilerConfig"] = await _read(request, CONFIG)
    return server.view.show(table, {"tableProfilerConfig"})


async def _read(request: Request, place: str) -> Json:
    body = await bodies.read_object(request)
    validate(body, load(place))
    return body


def _keep(kept: list[Json], profile: Json) -> None:
    """Add a profile; the time is its key."""
    at = profile["timestamp"]
    kept[:] = [one for one in kept if one["timestamp"] != at]
    kept.append(profile)
    kept.sort(key=lambda one: int(one["timestamp"]))


def _between(kept: Iterable[Json], start: int, end: int) -> Json:
    found = [one for one in kept if start <= one["timestamp"] <= end]
    return {"data": found, "paging": {"total": len(found)}}


def _profiled(table: Entity, columns: Iterable[Json]) -> Iterable[Json]:
    for column in columns:
        kept = table.column_profiles.get(column["fullyQualifiedName"])
        yield {**column, "profile": kept[-1]} if kept else column


def _with_sample(server: Server, table: Entity) -> Json:
    shown = server.view.show(table)
    return shown | {"sampleData": table.sample} if table.sample else shown
