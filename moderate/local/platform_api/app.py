"""The emulator as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from moderate.local.platform_api import control
from moderate.local.platform_api.config import EmulatorSettings
from moderate.local.platform_api.errors import (
    ApiError,
    server_error,
    unknown_route,
)
from moderate.local.platform_api.gateway import Gateway
from moderate.local.platform_api.pool import PoolTimeoutError
from moderate.local.platform_api.routes import (
    assets,
    jobs,
    objects,
    ping,
    proofs,
    users,
)
from moderate.local.platform_api.state import Platform, build
from moderate.local.platform_api.validation import translate

# The more exact paths come first: `/asset/{id}` would take `/asset/object`.
ROUTERS = (
    ping.router,
    users.router,
    objects.router,
    proofs.router,
    assets.router,
    jobs.router,
)


def create_app(settings: EmulatorSettings) -> FastAPI:
    """Make the emulator.

    Args:
        settings: See ``EmulatorSettings``.

    Returns:
        An application that must run in the thread that called this.
    """
    platform = build(settings)
    app = FastAPI(
        title="Platform API emulator",
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.platform = platform
    for router in ROUTERS:
        app.include_router(router)
    if settings.control:
        app.include_router(control.router)
    app.add_middleware(Gateway, platform=platform)
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(PoolTimeoutError, _on_pool_timeout)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    platform: Platform = app.state.platform
    await platform.close()


async def _on_api_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return error.response


async def _on_pool_timeout(*_: object) -> Response:
    return server_error().response


async def _on_invalid(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    found = [translate(one) for one in error.errors()]
    return JSONResponse({"detail": found}, 422)


async def _on_http_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    # Wrong methods fall through to what the API has mounted behind itself.
    if error.status_code in (404, 405):
        return unknown_route()
    return JSONResponse({"detail": error.detail}, error.status_code)
