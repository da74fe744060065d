"""Asset objects over all assets: the list for admins, batch and search."""

import contextlib
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse

from moderate.local.platform_api.crud import (
    ALL,
    Condition,
    ListQuery,
    check_id,
    list_query,
    list_rows,
)
from moderate.local.platform_api.errors import (
    database_error,
    detail,
    forbidden,
)
from moderate.local.platform_api.routes.assets import brief
from moderate.local.platform_api.state import (
    OptionalUserDep,
    Platform,
    PlatformDep,
    UserDep,
)
from moderate.local.platform_api.storage import ASSETS, OBJECTS, Row
from moderate.local.platform_api.tokens import User

router = APIRouter(prefix="/asset")

ORDERS = {
    "date": "created_at DESC, id DESC",
    "name": "coalesce(name, key), id",
    "asset_name": "(SELECT name FROM asset WHERE id = asset_id), id",
    # The text behind the last dot.
    "format": "replace(key, rtrim(key, replace(key, '.', '')), ''), id",
}
SORTS = "^(name|date|format|asset_name)$"
SEARCHED = (
    "name LIKE ? OR key LIKE ? OR description LIKE ? OR "
    "asset_id IN (SELECT id FROM asset WHERE name LIKE ?)"
)


@router.get("/object")
async def list_objects(
    emulated: PlatformDep,
    user: UserDep,
    query: Annotated[ListQuery, Depends(list_query)],
) -> JSONResponse:
    """List all objects; for admins only."""
    if not user.is_admin:
        raise forbidden()
    async with emulated.pool.connection():
        rows, headers = list_rows(emulated.storage, OBJECTS, query)
    return JSONResponse(rows, headers=headers)


@router.get("/object/batch")
async def read_objects(
    emulated: PlatformDep, user: UserDep, ids: str
) -> JSONResponse:
    """Read many objects; ids that are not there are left out."""
    try:
        numbers = [check_id(int(one)) for one in ids.split(",")]
    except ValueError as error:
        # Not recorded.
        raise detail(400, "ids must be comma-separated integers") from error
    marks = ", ".join("?" * len(numbers))
    wanted = Condition(f"id IN ({marks})", tuple(numbers))
    async with emulated.pool.connection():
        found = _select(emulated, [_visible_to(user), wanted])
    return JSONResponse(found)


@router.get("/objects/search")
async def search_objects(  # noqa: PLR0917 - one for each query parameter
    emulated: PlatformDep,
    user: UserDep,
    query: str | None = None,
    limit: Annotated[int, Query(le=100)] = 20,
    offset: int = 0,
    sort: Annotated[str, Query(pattern=SORTS)] = "date",
    exclude_mine: bool = False,  # noqa: FBT001, FBT002 - a query parameter
    file_format: str | None = None,
    date_from: str | None = None,
) -> JSONResponse:
    """Search in names, keys and descriptions; the newest come first."""
    if limit < 0 or offset < 0:
        raise database_error()
    conditions = [
        _visible_to(user),
        _not_of(user) if exclude_mine else ALL,
        _matching(query),
        _of_format(file_format),
        _since(date_from),
    ]
    async with emulated.pool.connection():
        found = _select(
            emulated, conditions, ORDERS[sort], limit=limit, offset=offset
        )
    return JSONResponse(found)


def _select(
    emulated: Platform,
    conditions: list[Condition],
    order: str = ORDERS["date"],
    *,
    limit: int = -1,
    offset: int = 0,
) -> list[Row]:
    rows = emulated.storage.find(
        OBJECTS,
        " AND ".join(f"({one.sql})" for one in conditions),
        [value for one in conditions for value in one.values],
        order=order,
        limit=limit,
        offset=offset,
    )
    return [_with_asset(emulated, row) for row in rows]


def _with_asset(emulated: Platform, row: Row) -> Row:
    shown = brief(row)
    asset = emulated.storage.get(ASSETS, row["asset_id"])
    # Of all the asset's objects, just this one.
    return {**shown, "asset": {**(asset or {}), "objects": [shown]}}


def _in_assets(where: str, *values: str) -> Condition:
    return Condition(
        f"asset_id IN (SELECT id FROM asset WHERE {where})",  # noqa: S608
        values,
    )


def _visible_to(user: OptionalUserDep) -> Condition:
    shown = "access_level IN ('public', 'visible')"
    if user is None:
        return _in_assets(shown)
    if user.is_admin:
        return ALL
    return _in_assets(f"{shown} OR username = ?", user.username)


def _not_of(user: User) -> Condition:
    return _in_assets("username <> ? OR username IS NULL", user.username)


def _matching(query: str | None) -> Condition:
    if not query:
        return ALL
    return Condition(SEARCHED, (f"%{query}%",) * 4)


def _of_format(formats: str | None) -> Condition:
    wanted = [one.strip() for one in (formats or "").split(",")]
    patterns = tuple(f"%.{one}" for one in wanted if one)
    if not patterns:
        return ALL
    return Condition(" OR ".join(["key LIKE ?"] * len(patterns)), patterns)


def _since(text: str | None) -> Condition:
    # What is no date is ignored.
    with contextlib.suppress(ValueError):
        time = datetime.fromisoformat(text or "")
        if time.tzinfo is not None:
            time = time.astimezone(UTC).replace(tzinfo=None)
        return Condition("created_at >= ?", (time.isoformat(),))
    return ALL
