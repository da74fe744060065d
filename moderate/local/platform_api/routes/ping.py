"""Is it there, and who does it think I am."""

import platform
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from moderate.local.platform_api.state import (
    OptionalUserDep,
    PlatformDep,
    UserDep,
)
from moderate.local.platform_api.storage import now
from moderate.local.platform_api.tokens import User

router = APIRouter(prefix="/ping")


@router.get("")
async def ping(
    request: Request, emulated: PlatformDep, user: UserDep
) -> JSONResponse:
    """Answer with the time, the request's headers and the user."""
    has_broker = emulated.broker is not None
    return _answer(request, has_broker=has_broker, user=_describe(user))


@router.get("/public")
async def ping_public(
    request: Request, emulated: PlatformDep, user: OptionalUserDep
) -> JSONResponse:
    """The same for everybody."""
    has_broker = emulated.broker is not None
    described = _describe(user) if user else None
    return _answer(request, has_broker=has_broker, user=described)


def _describe(user: User) -> dict[str, Any]:
    return {
        "token": user.claims,
        "is_admin": user.is_admin,
        "roles": sorted(user.roles),
    }


def _answer(
    request: Request, *, has_broker: bool, user: dict[str, Any] | None
) -> JSONResponse:
    return JSONResponse(
        {
            "python_version": platform.python_version(),
            "datetime": now(),
            "request_headers": dict(request.headers),
            "user": user,
            "broker_connection": has_broker,
        }
    )
