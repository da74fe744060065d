"""The endpoints that every kind of entity has."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import JSONResponse, Response

from moderate.local.open_metadata import bodies, changes, listing
from moderate.local.open_metadata.bulk import put_rows
from moderate.local.open_metadata.entity import Entity
from moderate.local.open_metadata.errors import ApiError, validate
from moderate.local.open_metadata.kinds import Kind
from moderate.local.open_metadata.listing import Include, asked_fields
from moderate.local.open_metadata.state import Server, ServerDep
from moderate.local.open_metadata.store import Change

CHANGE_HEADER = "x-openmetadata-change"
ENTITY = "/{id:uuid}"
NAMED = "/name/{fqn:path}"
Id = Annotated[UUID, Path(alias="id")]
Fields = Annotated[str, Query()]
IncludeQuery = Annotated[str, Query()]


def make_router(kind: Kind) -> APIRouter:
    """Make the endpoints of a kind."""
    routes = _Routes(kind)
    router = APIRouter(prefix=f"/api/v1/{kind.path}")
    for path, method, endpoint in (
        ("", "GET", routes.read_list),
        ("", "POST", routes.post),
        ("", "PUT", routes.put),
        ("/bulk", "PUT", routes.put_bulk),
        ("/restore", "PUT", routes.restore),
        (NAMED, "GET", routes.read_named),
        (NAMED, "PATCH", routes.patch_named),
        (NAMED, "DELETE", routes.delete_named),
        (ENTITY, "GET", routes.read),
        (ENTITY, "PATCH", routes.patch),
        (ENTITY, "DELETE", routes.delete),
    ):
        router.add_api_route(path, endpoint, methods=[method])
    return router


class _Routes:
    """What the endpoints of a kind do."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    async def read_list(self, server: ServerDep, request: Request) -> Response:
        """GET the collection, in pages."""
        return JSONResponse(
            listing.page(server, self._kind, request.query_params)
        )

    async def read(
        self,
        server: ServerDep,
        entity_id: Id,
        fields: Fields = "",
        include: IncludeQuery = "non-deleted",
    ) -> Response:
        """GET an entity by its id."""
        deleted = Include(include).deleted
        asked = asked_fields(self._kind, fields)
        entity = server.store.by_id(
            self._kind, str(entity_id), deleted=deleted
        )
        return _shown(server, entity, asked)

    async def read_named(
        self,
        server: ServerDep,
        fqn: str,
        fields: Fields = "",
        include: IncludeQuery = "non-deleted",
    ) -> Response:
        """GET an entity by its full name."""
        deleted = Include(include).deleted
        asked = asked_fields(self._kind, fields)
        entity = server.store.get(self._kind, fqn, deleted=deleted)
        return _shown(server, entity, asked)

    async def post(self, server: ServerDep, request: Request) -> Response:
        """POST a new entity."""
        body = await self._read(request)
        entity = server.store.create(self._kind, body)
        return JSONResponse(server.view.show(entity), 201)

    async def put(self, server: ServerDep, request: Request) -> Response:
        """PUT an entity, new or not."""
        body = await self._read(request)
        entity, change = server.store.put(self._kind, body)
        asked = () if change is Change.CREATED else self._kind.updated
        shown = server.view.show(entity, asked)
        if change is Change.NONE:
            shown["incrementalChangeDescription"] = changes.nothing(
                entity.version
            )
        status = 201 if change is Change.CREATED else 200
        return JSONResponse(shown, status, {CHANGE_HEADER: change})

    async def put_bulk(
        self,
        server: ServerDep,
        request: Request,
        override: Annotated[str, Query(alias="overrideMetadata")] = "false",
    ) -> Response:
        """PUT many; the status is 200 whatever becomes of them."""
        rows = await bodies.read_rows(request)
        request.state.rows = len(rows)
        return JSONResponse(
            put_rows(server, self._kind, rows, override=override == "true")
        )

    async def restore(self, server: ServerDep, request: Request) -> Response:
        """PUT a deleted entity back; not recorded."""
        body = await bodies.read_object(request)
        entity = server.store.by_id(
            self._kind, str(body.get("id")), deleted=True
        )
        server.store.restore(entity)
        return _whole(server, entity, Change.RESTORED)

    async def patch(
        self, server: ServerDep, request: Request, entity_id: Id
    ) -> Response:
        """PATCH an entity by its id."""
        entity = server.store.by_id(self._kind, str(entity_id))
        return await _patch(server, request, entity)

    async def patch_named(
        self, server: ServerDep, request: Request, fqn: str
    ) -> Response:
        """PATCH an entity by its full name."""
        entity = server.store.get(self._kind, fqn)
        return await _patch(server, request, entity)

    async def delete(
        self, server: ServerDep, request: Request, entity_id: Id
    ) -> Response:
        """DELETE an entity by its id, a deleted one too."""
        entity = server.store.by_id(self._kind, str(entity_id), deleted=None)
        return _delete(server, request, entity)

    async def delete_named(
        self, server: ServerDep, request: Request, fqn: str
    ) -> Response:
        """DELETE an entity by its full name."""
        entity = server.store.get(self._kind, fqn, deleted=None)
        return _delete(server, request, entity)

    async def _read(self, request: Request) -> dict[str, Any]:
        body = await bodies.read_object(request)
        validate(body, self._kind.create)
        return body


def _shown(server: Server, entity: Entity, asked: frozenset[str]) -> Response:
    return JSONResponse(
        server.view.show(entity, asked), headers={"ETag": _etag(entity)}
    )


def _whole(server: Server, entity: Entity, change: Change) -> Response:
    gone = change in (Change.SOFT_DELETED, Change.DELETED)
    headers = {CHANGE_HEADER: str(change)}
    if not gone:
        headers["ETag"] = _etag(entity)
    shown = server.view.show(entity, entity.kind.whole, href=not gone)
    return JSONResponse(shown, headers=headers)


async def _patch(server: Server, request: Request, entity: Entity) -> Response:
    operations = await bodies.read_rows(request, bodies.JSON_PATCH)
    wanted = request.headers.get("if-match")
    if wanted and wanted.replace("--gzip", "") != _etag(entity):
        raise ApiError(
            412,
            f"The entity has been modified. Current ETag: {_etag(entity)}. "
            "Please refresh and retry with the latest version.",
        )
    change = server.store.patch(entity, operations)
    return _whole(server, entity, change)


def _delete(server: Server, request: Request, entity: Entity) -> Response:
    query = request.query_params
    change = server.store.delete(
        entity,
        recursive=query.get("recursive") == "true",
        hard=query.get("hardDelete") == "true",
    )
    return _whole(server, entity, change)


def _etag(entity: Entity) -> str:
    return f'"{entity.etag}"'
