"""The emulator's own controls, which the real platform does not have.

Offered below ``/_emulator`` when ``EMULATOR_CONTROL=1``, to whoever can
reach the port: for tests and demos on one machine only.
"""

import uuid
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from moderate.local.platform_api.faults import Faults
from moderate.local.platform_api.ledger import Ledger
from moderate.local.platform_api.state import PlatformDep
from moderate.local.platform_api.storage import ASSETS, OBJECTS, Storage, now

router = APIRouter(prefix="/_emulator")

SHA256_OF_NOTHING = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)


class SeedRequest(BaseModel):
    """Objects to be there without an upload; S3 knows nothing of them."""

    objects: Annotated[int, Field(ge=0, le=100_000)]
    owner: str | None = Field(description="null: public, without an owner.")
    key_prefix: str = Field(
        "seeded", description="Keys are this, a dash and a number from 0."
    )


class Seeded(BaseModel):
    """The ids of what was made, in the order of the keys."""

    object_ids: list[int]


@router.get("/faults")
async def read_faults(emulated: PlatformDep) -> Faults:
    """Show the faults, with what is left of their counts."""
    return emulated.faults.faults


@router.put("/faults")
async def replace_faults(emulated: PlatformDep, body: Faults) -> Faults:
    """Switch on these faults and no others; ``{}`` switches all off."""
    emulated.faults.replace(body)
    return emulated.faults.faults


@router.get("/ledger")
async def read_ledger(
    emulated: PlatformDep,
    calls: bool = True,  # noqa: FBT001, FBT002 - a query parameter
) -> Ledger:
    """Show what happened; ``calls=false`` leaves out the list of all calls."""
    return emulated.ledger.read(emulated.tasks.in_flight, calls=calls)


@router.post("/seed")
async def seed(emulated: PlatformDep, body: SeedRequest) -> Seeded:
    """Make many objects at once, a hundred to an asset."""
    storage = emulated.storage
    room = emulated.settings.max_objects_per_asset
    ids: list[int] = []
    with storage.transaction():
        for first in range(0, body.objects, room):
            numbers = range(first, min(first + room, body.objects))
            ids += _seed_asset(storage, body, numbers, emulated.objects.bucket)
    return Seeded(object_ids=ids)


@router.post("/reset", status_code=204)
async def reset(emulated: PlatformDep) -> None:
    """Forget everything: rows, running tasks, ledger, and faults."""
    await emulated.tasks.cancel()
    emulated.storage.clear()
    emulated.ledger.clear()
    emulated.faults.reset()


def _seed_asset(
    storage: Storage, body: SeedRequest, numbers: range, bucket: str
) -> list[int]:
    asset = storage.insert(
        ASSETS,
        {
            "uuid": str(uuid.uuid4()),
            "name": f"{body.key_prefix} from {numbers.start}",
            "created_at": now(),
            "access_level": "private" if body.owner else "public",
            "username": body.owner,
        },
    )
    return [
        storage.insert(
            OBJECTS,
            {
                "key": f"{body.key_prefix}-{number}",
                "created_at": now(),
                "sha256_hash": SHA256_OF_NOTHING,
                "bucket": bucket,
                "etag": '""',
                "location": f"s3://{bucket}/{body.key_prefix}-{number}",
                "asset_id": asset["id"],
            },
        )["id"]
        for number in numbers
    ]
