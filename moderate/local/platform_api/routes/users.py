"""What the platform knows of users: above all, their DID."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
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
    forbidden,
    not_found,
)
from moderate.local.platform_api.state import Platform, PlatformDep, UserDep
from moderate.local.platform_api.storage import (
    TASKS,
    USERS,
    Row,
    UniqueViolationError,
    now,
)

router = APIRouter(prefix="/user")


class DidRequest(BaseModel):
    """Any text is taken as a username."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    username: str


@router.get("")
async def list_users(
    emulated: PlatformDep,
    user: UserDep,
    query: Annotated[ListQuery, Depends(list_query)],
) -> JSONResponse:
    """List users; the basic role sees itself only."""
    own = Condition("username = ?", (user.username,))
    async with emulated.pool.connection():
        rows, headers = list_rows(
            emulated.storage, USERS, query, ALL if user.is_admin else own
        )
    return JSONResponse([public(row) for row in rows], headers=headers)


@router.post("/did")
async def ensure_did(
    emulated: PlatformDep, user: UserDep, body: DidRequest
) -> JSONResponse:
    """Say a user's DID, or make a task that creates it."""
    if user.username != body.username and not user.is_admin:
        raise forbidden()
    async with emulated.pool.connection():
        found = await _ensure_user(emulated, body.username)
        if found["trust_did"]:
            return JSONResponse({"task_id": None, "user_meta": public(found)})
        task_id = emulated.tasks.start_did(user.username, body.username)
    return JSONResponse({"task_id": task_id, "user_meta": None})


@router.get("/did/task/{task_id}")
async def read_did_task(
    emulated: PlatformDep, user: UserDep, task_id: int
) -> JSONResponse:
    """Read a task of any kind; the basic role reads its own only."""
    return await read_task(emulated, user, task_id)


async def read_task(
    emulated: Platform, user: UserDep, task_id: int
) -> JSONResponse:
    """Answer with a task, from whichever path it was asked."""
    async with emulated.pool.connection():
        task = emulated.storage.get(TASKS, check_id(task_id))
    is_own = task is not None and task["username_owner"] == user.username
    if task is None or not (is_own or user.is_admin):
        raise not_found()
    return JSONResponse(task)


async def _ensure_user(emulated: Platform, username: str) -> Row:
    found = emulated.storage.one(USERS, "username = ?", username)
    if found is not None:
        return found
    # The API looks first and inserts then: requests can meet in between.
    await asyncio.sleep(emulated.settings.race_seconds)
    values = {"username": username, "created_at": now()}
    try:
        return emulated.storage.insert(USERS, values)
    except UniqueViolationError as error:
        raise database_error(409) from error


def public(user: Row) -> Row:
    """What the API shows of a user: all but the id."""
    return {name: value for name, value in user.items() if name != "id"}
