"""The emulator as an ASGI application."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from moderate.local.open_metadata import control
from moderate.local.open_metadata.config import EmulatorSettings
from moderate.local.open_metadata.errors import ApiError, no_such_path
from moderate.local.open_metadata.gate import Gate
from moderate.local.open_metadata.kinds import KINDS
from moderate.local.open_metadata.routes import (
    entities,
    pipelines,
    profiles,
    search,
    system,
)
from moderate.local.open_metadata.state import build

# The more exact paths come first: `/name/{fqn}` takes everything.
ROUTERS = (
    system.router,
    search.router,
    profiles.router,
    pipelines.router,
    *(entities.make_router(kind) for kind in KINDS),
)


def create_app(settings: EmulatorSettings) -> FastAPI:
    """Make the emulator.

    Args:
        settings: See ``EmulatorSettings``.

    Raises:
        ModuleNotFoundError: The ingestion framework is not installed.
    """
    for kind in KINDS:
        kind.prepare()
    server = build(settings)
    app = FastAPI(
        title="OpenMetadata emulator",
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.server = server
    for router in ROUTERS:
        app.include_router(router)
    if settings.control:
        app.include_router(control.router)
    app.add_middleware(Gate, server=server)
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    return app


async def _on_api_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return error.response


async def _on_invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    if request.url.path.startswith("/api/"):
        # So the server answers to parameters that it can't read.
        return no_such_path().response
    found = [
        {"place": one["loc"], "message": one["msg"]} for one in error.errors()
    ]
    return JSONResponse({"detail": found}, 422)


async def _on_http_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    message = f"HTTP {error.status_code} {error.detail}"
    return JSONResponse(
        {"code": error.status_code, "message": message}, error.status_code
    )
