"""Starts the emulator: ``python -m moderate.local.platform_api``."""

import asyncio
import logging
import os
import socket
import sqlite3
import sys
from collections.abc import Iterator

import uvicorn
from pydantic import ValidationError
from pydantic_settings import SettingsError

from moderate.local.platform_api.app import create_app
from moderate.local.platform_api.config import PREFIX, EmulatorSettings

WRONG_SETTINGS = 2
CANNOT_START = 1
# Requests that hang on purpose must not delay the end.
SHUTDOWN_SECONDS = 2


class Server(uvicorn.Server):
    """A server that says where it listens, once it does."""

    async def startup(
        self, sockets: list[socket.socket] | None = None
    ) -> None:
        """Start to listen."""
        await super().startup(sockets)
        for server in self.servers if self.started else ():
            host, port = server.sockets[0].getsockname()[:2]
            sys.stdout.write(
                f"platform API emulator ready on http://{host}:{port}\n"
            )
            sys.stdout.flush()


def read_settings() -> EmulatorSettings:
    """Read the settings from the environment.

    Raises:
        SettingsError: They are wrong; says how, by the variables' names.
    """
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX)
        and name.removeprefix(PREFIX).lower()
        not in EmulatorSettings.model_fields
    )
    if unknown:
        message = f"  there is no setting {', '.join(unknown)}"
        raise SettingsError(message)
    try:
        return EmulatorSettings()
    except ValidationError as error:
        raise SettingsError("\n".join(_describe(error))) from error


def _describe(error: ValidationError) -> Iterator[str]:
    for one in error.errors(include_input=False, include_url=False):
        name, *inside = map(str, one["loc"])
        place = f" ({'.'.join(inside)})" if inside else ""
        yield f"  {PREFIX}{name.upper()}{place}: {one['msg']}"


def main() -> int:
    """Run until told to stop; returns the exit code."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # They tell of every connection and of every request.
    for noisy in ("pika", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = read_settings()
    except SettingsError as error:
        sys.stderr.write(f"The emulator's settings are wrong:\n{error}\n")
        return WRONG_SETTINGS
    try:
        return asyncio.run(_serve(settings))
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(f"The emulator cannot start: {error}\n")
        return CANNOT_START


async def _serve(settings: EmulatorSettings) -> int:
    server = Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
    await server.serve()
    return 0 if server.started else CANNOT_START


if __name__ == "__main__":
    sys.exit(main())
