"""Integrity proofs of asset objects."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse

from moderate.local.platform_api.crud import check_id
from moderate.local.platform_api.errors import forbidden, not_found
from moderate.local.platform_api.routes.users import read_task
from moderate.local.platform_api.state import Platform, PlatformDep, UserDep
from moderate.local.platform_api.storage import ASSETS, Row
from moderate.local.platform_api.tasks import find_object
from moderate.local.platform_api.tokens import User

router = APIRouter(prefix="/asset/proof")


class ProofRequest(BaseModel):
    """Which object: its key, or its id as a number or a text."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    object_key_or_id: str


@router.post("")
async def ensure_proof(
    emulated: PlatformDep, user: UserDep, body: ProofRequest
) -> JSONResponse:
    """Show an object that has a proof, or make a task that creates it.

    That the owner lacks a DID only shows in the task.
    """
    key_or_id = body.object_key_or_id
    async with emulated.pool.connection():
        found = _find(emulated, user, key_or_id)
        if found["proof_id"]:
            return JSONResponse({"task_id": None, "obj": found})
        task_id = emulated.tasks.start_proof(user.username, key_or_id)
    return JSONResponse({"task_id": task_id, "obj": None})


@router.get("/task/{task_id}")
async def read_proof_task(
    emulated: PlatformDep, user: UserDep, task_id: int
) -> JSONResponse:
    """Read a task of any kind; the basic role reads its own only."""
    return await read_task(emulated, user, task_id)


@router.get("/integrity")
async def check_integrity(
    emulated: PlatformDep, user: UserDep, object_key_or_id: str
) -> JSONResponse:
    """Whether the trust service knows the object with the same hash."""
    async with emulated.pool.connection():
        found = _find(emulated, user, object_key_or_id, public_too=True)
    if found["proof_id"]:
        return JSONResponse({"valid": True, "reason": None})
    reason = emulated.trust.no_proof(found["key"])
    return JSONResponse({"valid": False, "reason": reason})


def _find(
    emulated: Platform, user: User, key_or_id: str, *, public_too: bool = False
) -> Row:
    if key_or_id.lstrip("-").isdecimal():
        check_id(int(key_or_id))
    found = find_object(emulated.storage, key_or_id)
    if found is None:
        raise not_found()
    asset = emulated.storage.get(ASSETS, found["asset_id"])
    is_owner = asset is not None and asset["username"] == user.username
    is_public = asset is not None and asset["access_level"] == "public"
    if user.is_admin or is_owner or (public_too and is_public):
        return found
    raise forbidden()
