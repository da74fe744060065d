"""How an emulator runs as a process of its own."""

import asyncio
import logging
import os
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

WRONG_SETTINGS = 2
CANNOT_START = 1
# Requests that hang on purpose must not delay the end.
SHUTDOWN_SECONDS = 2
# They tell of every connection and of every request.
NOISY = ("pika", "httpx")


class ListeningSettings(BaseSettings):
    """Settings of an emulator: where it listens.

    Attributes:
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one, which the line that
            says "ready" names.
    """

    host: str
    port: int


Settings = TypeVar("Settings", bound=ListeningSettings)


class _Server(uvicorn.Server):
    """A server that says where it listens, once it does."""

    def __init__(self, name: str, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._name = name

    async def startup(
        self, sockets: list[socket.socket] | None = None
    ) -> None:
        """Start to listen."""
        await super().startup(sockets)
        for server in self.servers if self.started else ():
            host, port = server.sockets[0].getsockname()[:2]
            sys.stdout.write(
                f"{self._name} emulator ready on http://{host}:{port}\n"
            )
            sys.stdout.flush()


def run_emulator(
    name: str,
    kind: type[Settings],
    make_app: Callable[[Settings], FastAPI],
) -> int:
    """Run an emulator until it is told to stop.

    Args:
        name: What it emulates.
        kind: Its settings, read from the environment.
        make_app: Makes the application from them.

    Returns:
        The exit code.
    """
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = _read_settings(kind)
    except SettingsError as error:
        sys.stderr.write(f"The emulator's settings are wrong:\n{error}\n")
        return WRONG_SETTINGS
    try:
        return asyncio.run(_serve(name, settings, make_app))
    except (OSError, sqlite3.Error, ModuleNotFoundError) as error:
        sys.stderr.write(f"The emulator cannot start: {error}\n")
        return CANNOT_START


def _read_settings(kind: type[Settings]) -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: They are wrong; says how, by the variables' names.
    """
    prefix = kind.model_config["env_prefix"]
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith(prefix)
        and name.removeprefix(prefix).lower() not in kind.model_fields
    )
    if unknown:
        message = f"  there is no setting {', '.join(unknown)}"
        raise SettingsError(message)
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError("\n".join(_describe(error, prefix))) from error


def _describe(error: ValidationError, prefix: str) -> Iterator[str]:
    for one in error.errors(include_input=False, include_url=False):
        name, *inside = map(str, one["loc"])
        place = f" ({'.'.join(inside)})" if inside else ""
        yield f"  {prefix}{name.upper()}{place}: {one['msg']}"


async def _serve(
    name: str, settings: Settings, make_app: Callable[[Settings], FastAPI]
) -> int:
    config = uvicorn.Config(
        make_app(settings),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = _Server(name, config)
    await server.serve()
    return 0 if server.started else CANNOT_START
