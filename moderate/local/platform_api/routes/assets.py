"""Assets, their objects' download URLs, and uploads."""

import json
import uuid
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Query, UploadFile
from pydantic import BaseModel, ConfigDict, Field
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
    not_found,
)
from moderate.local.platform_api.object_storage import object_key
from moderate.local.platform_api.state import (
    OptionalUserDep,
    Platform,
    PlatformDep,
    UserDep,
)
from moderate.local.platform_api.storage import (
    ASSETS,
    OBJECTS,
    Row,
    Storage,
    UniqueViolationError,
    now,
)
from moderate.local.platform_api.tokens import User

router = APIRouter(prefix="/asset")

MIN_URL_SECONDS = 60
MAX_URL_SECONDS = 86_400
# What an asset or a search shows of an object; its place in S3 is left out.
HIDDEN = frozenset({"bucket", "etag", "location", "asset_id"})


class AccessLevel(Enum):
    """Who may see an asset and take its objects."""

    PUBLIC = "public"
    PRIVATE = "private"
    VISIBLE = "visible"


class AssetCreate(BaseModel):
    """A new asset; fields that are not known are ignored."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    uuid: str = Field(default_factory=lambda: str(uuid.uuid4()))
    name: str
    description: str | None = None
    meta: dict[str, Any] | None = None
    created_at: datetime | None = None
    access_level: AccessLevel = AccessLevel.PRIVATE
    is_public_ownerless: bool = False


@router.get("")
async def list_assets(
    emulated: PlatformDep,
    user: UserDep,
    query: Annotated[ListQuery, Depends(list_query)],
) -> JSONResponse:
    """List the assets that the user may read."""
    return await _list(emulated, query, readable_by(user))


@router.get("/public")
async def list_public_assets(
    emulated: PlatformDep,
    user: OptionalUserDep,
    query: Annotated[ListQuery, Depends(list_query)],
) -> JSONResponse:
    """The same for everybody, whoever asks."""
    return await _list(emulated, query, readable_by(user))


@router.post("")
async def create_asset(
    emulated: PlatformDep, user: UserDep, body: AssetCreate
) -> JSONResponse:
    """Make an asset; its uuid is unique, its name is not."""
    ownerless = body.is_public_ownerless
    level = AccessLevel.PUBLIC if ownerless else body.access_level
    values = {
        "uuid": body.uuid,
        "name": body.name,
        "description": body.description,
        "meta": body.meta,
        "created_at": naive(body.created_at) or now(),
        "access_level": level.value,
        "username": None if ownerless else user.username,
    }
    async with emulated.pool.connection():
        try:
            asset = emulated.storage.insert(ASSETS, values)
        except UniqueViolationError as error:
            raise database_error(409) from error
    return JSONResponse({**asset, "objects": []})


@router.get("/{asset_id}")
async def read_asset(
    emulated: PlatformDep, user: UserDep, asset_id: int
) -> JSONResponse:
    """Read one asset with its objects."""
    async with emulated.pool.connection():
        asset = _find(emulated.storage, asset_id, readable_by(user))
        shown = _with_objects(emulated.storage, [asset])
    return JSONResponse(shown[0])


@router.post("/{asset_id}/object")
async def upload_object(
    emulated: PlatformDep,
    user: UserDep,
    asset_id: int,
    obj: Annotated[UploadFile, File()],
    tags: Annotated[str | None, Form()] = None,
    series_id: Annotated[str | None, Form()] = None,
    name: Annotated[str | None, Form()] = None,
    description: Annotated[str | None, Form()] = None,
) -> JSONResponse:
    """Upload a file; every upload is a new object, also of the same file."""
    storage = emulated.storage
    parsed_tags = _read_tags(tags)
    async with emulated.pool.connection():
        await emulated.objects.ensure_bucket()
        # There is no way round for admins here.
        asset = _find(storage, asset_id, _own_or_public(user))
        _check_room(emulated, asset)
        key = object_key(user.username, obj.filename or "")
        uploaded = await emulated.objects.upload(key, obj.file)
        stored = storage.insert(
            OBJECTS,
            {
                "key": key,
                "tags": parsed_tags,
                "created_at": now(),
                "series_id": series_id,
                "sha256_hash": uploaded.sha256_hash,
                "name": name,
                "description": description,
                "bucket": emulated.objects.bucket,
                "etag": uploaded.etag,
                "location": uploaded.location,
                "asset_id": asset["id"],
            },
        )
    return JSONResponse(stored)


@router.delete("/{asset_id}/object/{object_id}")
async def delete_object(
    emulated: PlatformDep, user: UserDep, asset_id: int, object_id: int
) -> JSONResponse:
    """Remove an object; after the OpenAPI document, not recorded."""
    async with emulated.pool.connection():
        _find(emulated.storage, asset_id, readable_by(user))
        if emulated.storage.get(OBJECTS, check_id(object_id)) is None:
            raise not_found()
        emulated.storage.delete(OBJECTS, object_id)
    return JSONResponse(
        {"ok": True, "asset_id": asset_id, "object_id": object_id}
    )


UrlSeconds = Annotated[int, Query(ge=MIN_URL_SECONDS, le=MAX_URL_SECONDS)]


@router.get("/{asset_id}/download-urls")
async def download_urls(
    emulated: PlatformDep,
    user: UserDep,
    asset_id: int,
    object_id: int | None = None,
    expiration_secs: UrlSeconds = 600,
) -> JSONResponse:
    """Presigned URLs of an asset's objects, or of one."""
    return await _download_urls(
        emulated, user, asset_id, object_id, expiration_secs
    )


@router.get("/public/{asset_id}/download-urls")
async def public_download_urls(
    emulated: PlatformDep,
    user: OptionalUserDep,
    asset_id: int,
    object_id: int | None = None,
    expiration_secs: UrlSeconds = 600,
) -> JSONResponse:
    """The same for everybody, whoever asks."""
    return await _download_urls(
        emulated, user, asset_id, object_id, expiration_secs
    )


async def _download_urls(
    emulated: Platform,
    user: User | None,
    asset_id: int,
    object_id: int | None,
    seconds: int,
) -> JSONResponse:
    async with emulated.pool.connection():
        await emulated.objects.ensure_bucket()
        asset = _find(emulated.storage, asset_id, readable_by(user))
        rows = emulated.storage.find(
            OBJECTS, "asset_id = ?", (asset["id"],), order="id"
        )
    if object_id is not None:
        rows = [row for row in rows if row["id"] == object_id]
        if not rows:
            text = f"Object {object_id} not found in asset {asset_id}"
            raise detail(404, text)
    urls = [
        emulated.objects.download_url(row["bucket"], row["key"], seconds)
        for row in rows
    ]
    return JSONResponse(
        [
            {"key": row["key"], "download_url": url}
            for row, url in zip(rows, urls, strict=True)
        ]
    )


async def _list(
    emulated: Platform, query: ListQuery, visible: Condition
) -> JSONResponse:
    async with emulated.pool.connection():
        rows, headers = list_rows(emulated.storage, ASSETS, query, visible)
        shown = _with_objects(emulated.storage, rows)
    return JSONResponse(shown, headers=headers)


def readable_by(user: User | None) -> Condition:
    """Which assets someone may read."""
    if user is None:
        return Condition("access_level = 'public'")
    return ALL if user.is_admin else _own_or_public(user)


def _own_or_public(user: User) -> Condition:
    return Condition(
        "username = ? OR access_level = 'public'", (user.username,)
    )


def naive(time: datetime | None) -> str | None:
    """A time as the database stores it.

    Raises:
        ApiError: It has a zone, which the database's driver does not take.
    """
    if time is None:
        return None
    if time.tzinfo is not None:
        raise database_error()
    return time.isoformat()


def brief(row: Row) -> Row:
    """What an asset or a search shows of an object."""
    return {name: row[name] for name in row if name not in HIDDEN}


def _find(storage: Storage, asset_id: int, visible: Condition) -> Row:
    where = f"id = ? AND ({visible.sql})"
    asset = storage.one(ASSETS, where, check_id(asset_id), *visible.values)
    if asset is None:
        raise not_found()
    return asset


def _with_objects(storage: Storage, assets: list[Row]) -> list[Row]:
    ids = [asset["id"] for asset in assets]
    marks = ", ".join("?" * len(ids))
    objects = storage.find(OBJECTS, f"asset_id IN ({marks})", ids, order="id")
    return [
        {
            **asset,
            "objects": [
                brief(one) for one in objects if one["asset_id"] == asset["id"]
            ],
        }
        for asset in assets
    ]


def _read_tags(text: str | None) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"Tags should be a valid JSON object: {error}"
        raise detail(400, message) from error
    return parsed if isinstance(parsed, dict) else None


def _check_room(emulated: Platform, asset: Row) -> None:
    most = emulated.settings.max_objects_per_asset
    objects = emulated.storage.find(OBJECTS, "asset_id = ?", (asset["id"],))
    if len(objects) >= most:
        message = (
            f"Asset already has {len(objects)} objects, cannot upload more "
            f"than {most}"
        )
        raise detail(400, message)
