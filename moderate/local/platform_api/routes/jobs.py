"""Workflow jobs: posted by users, announced on the broker, ended by us."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.responses import JSONResponse

from moderate.local.platform_api.broker import Broker, Publisher
from moderate.local.platform_api.crud import (
    Condition,
    ListQuery,
    check_id,
    list_query,
    list_rows,
)
from moderate.local.platform_api.errors import (
    ApiError,
    detail,
    forbidden,
    not_found,
    server_error,
)
from moderate.local.platform_api.routes.assets import naive
from moderate.local.platform_api.state import Platform, PlatformDep, UserDep
from moderate.local.platform_api.storage import (
    ASSETS,
    JOBS,
    OBJECTS,
    Row,
    now,
)
from moderate.local.platform_api.tokens import User

router = APIRouter(prefix="/job")

RESULT_URL_SECONDS = 7_200
FORBIDDEN_ASSET = (
    "User does not have permission to run a workflow on this asset."
)
URLS = {
    "output_key": "download_url",
    "error_logs_key": "error_logs_download_url",
}


class JobType(Enum):
    """What a job computes; also the name of its queue."""

    MATRIX_PROFILE = "matrix_profile"


class JobCreate(BaseModel):
    """A job as a user posts it."""

    job_type: JobType
    arguments: dict[str, Any] | None = None


class MatrixProfileArguments(BaseModel):
    """What a matrix profile is made of."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    uploaded_s3_object_id: int
    analysis_variable: str


class JobUpdate(BaseModel):
    """A job's outcome; replaces what was there."""

    results: dict[str, Any]
    finalised_at: datetime | None = None


@router.get("")
async def list_jobs(
    emulated: PlatformDep,
    user: UserDep,
    query: Annotated[ListQuery, Depends(list_query)],
    with_extended_results: str | None = None,
) -> JSONResponse:
    """List the user's own jobs; admins see no more here."""
    own = Condition("creator_username = ?", (user.username,))
    async with emulated.pool.connection():
        await emulated.objects.ensure_bucket()
        rows, headers = list_rows(emulated.storage, JOBS, query, own)
    shown = [_show(emulated, row, with_extended_results) for row in rows]
    return JSONResponse(shown, headers=headers)


@router.get("/{job_id}")
async def read_job(
    emulated: PlatformDep,
    user: UserDep,
    job_id: int,
    with_extended_results: str | None = None,
) -> JSONResponse:
    """Read a job; admins read everybody's."""
    async with emulated.pool.connection():
        await emulated.objects.ensure_bucket()
        job = emulated.storage.get(JOBS, check_id(job_id))
    is_own = job is not None and job["creator_username"] == user.username
    if job is None or not (is_own or user.is_admin):
        raise not_found()
    return JSONResponse(_show(emulated, job, with_extended_results))


@router.post("")
async def create_job(
    emulated: PlatformDep, user: UserDep, body: JobCreate
) -> JSONResponse:
    """Make a job and announce it.

    Whether there is a queue for the message is not looked at. A job that is
    refused for its object was stored before it is removed again: its id is
    used up.
    """
    async with _connected(emulated) as publisher, emulated.pool.connection():
        await emulated.objects.ensure_bucket()
        _check_debounce(emulated, user, body.job_type)
        arguments = _read_arguments(body.arguments)
        job = emulated.storage.insert(
            JOBS,
            {
                "job_type": body.job_type.value,
                "arguments": body.arguments,
                "created_at": now(),
                "creator_username": user.username,
            },
        )
        try:
            message = _message(emulated, user, job["id"], arguments)
        except ApiError:
            emulated.storage.delete(JOBS, job["id"])
            raise
        await _publish(emulated, publisher, message)
    return JSONResponse(_show(emulated, job, None))


@router.patch("/{job_id}")
async def update_job(
    emulated: PlatformDep, user: UserDep, job_id: int, body: JobUpdate
) -> JSONResponse:
    """Store a job's outcome; the last word wins, whatever was said before."""
    written = body.model_dump(mode="json", exclude_unset=True)
    try:
        async with emulated.pool.connection():
            job = _update(emulated, user, job_id, body)
    except ApiError as error:
        status = error.response.status_code
        emulated.ledger.job_patched(job_id, user.username, status, written)
        raise
    emulated.ledger.job_patched(job_id, user.username, 200, written)
    return JSONResponse(_show(emulated, job, None))


def _update(
    emulated: Platform, user: User, job_id: int, body: JobUpdate
) -> Row:
    if not user.is_admin:
        raise forbidden()
    job = emulated.storage.get(JOBS, check_id(job_id))
    if job is None:
        raise not_found()
    changes = {
        "results": body.results,
        "finalised_at": naive(body.finalised_at) or now(),
    }
    emulated.storage.update(JOBS, job_id, **changes)
    return job | changes


@asynccontextmanager
async def _connected(emulated: Platform) -> AsyncIterator[Publisher]:
    broker: Broker | None = emulated.broker
    if broker is None:
        raise detail(500, "Message broker connection not available.")
    async with broker.connected() as publisher:
        yield publisher


def _check_debounce(emulated: Platform, user: User, job_type: JobType) -> None:
    latest = emulated.storage.find(
        JOBS,
        "creator_username = ? AND job_type = ?",
        (user.username, job_type.value),
        order="created_at DESC",
        limit=1,
    )
    if not latest:
        return
    made = datetime.fromisoformat(latest[0]["created_at"])
    age = datetime.now(UTC).replace(tzinfo=None) - made
    if age < timedelta(seconds=emulated.settings.job_debounce_seconds):
        message = "Not allowed to create job. Please try again later."
        raise detail(400, message)


def _read_arguments(given: dict[str, Any] | None) -> MatrixProfileArguments:
    if given is None:
        raise server_error()
    try:
        return MatrixProfileArguments.model_validate(given)
    except ValidationError as error:
        raise detail(400, "Invalid arguments for job type.") from error


def _message(
    emulated: Platform,
    user: User,
    job_id: int,
    arguments: MatrixProfileArguments,
) -> dict[str, Any]:
    object_id = check_id(arguments.uploaded_s3_object_id)
    found = emulated.storage.get(OBJECTS, object_id)
    if found is None:
        raise detail(404, "Asset object not found.")
    asset = emulated.storage.get(ASSETS, found["asset_id"]) or {}
    is_open = asset.get("access_level") == "public"
    is_own = asset.get("username") == user.username
    if not (user.is_admin or is_own or is_open):
        raise detail(403, FORBIDDEN_ASSET)
    return {
        "workflow_job_id": job_id,
        "analysis_variable": arguments.analysis_variable,
        "bucket": found["bucket"],
        "key": found["key"],
    }


async def _publish(
    emulated: Platform, publisher: Publisher, message: dict[str, Any]
) -> None:
    job_id = message["workflow_job_id"]
    if emulated.faults.take_dropped_message():
        emulated.ledger.message_sent(job_id, "suppressed")
        return
    try:
        arrived = await publisher.publish(message)
    except ApiError:
        emulated.ledger.message_sent(job_id, "failed")
        raise
    fate = "published" if arrived else "unroutable"
    emulated.ledger.message_sent(job_id, fate)


def _show(emulated: Platform, job: Row, extended: str | None) -> Row:
    shown = {**job, "extended_results": None}
    if extended and job["finalised_at"] and job["results"]:
        shown["extended_results"] = _result_urls(emulated, job["results"])
    return shown


def _result_urls(
    emulated: Platform, results: dict[str, Any]
) -> dict[str, str] | None:
    bucket = results.get("output_bucket")
    urls = {
        url: emulated.objects.download_url(
            bucket, results[key], RESULT_URL_SECONDS
        )
        for key, url in URLS.items()
        if bucket and results.get(key)
    }
    return urls or None
