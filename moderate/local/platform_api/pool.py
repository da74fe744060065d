"""The bound on database connections that makes the API hang."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PoolTimeoutError(Exception):
    """No connection became free in time."""

    def __repr__(self) -> str:
        # Task errors are Python reprs; this is the driver's.
        return f"TimeoutError({str(self)!r})"


class ConnectionPool:
    """A number of connections, given out in the order of asking.

    Args:
        size: How many there are.
        timeout: Seconds that one who asks waits at most.
    """

    def __init__(self, size: int, timeout: float) -> None:
        self._free = asyncio.Semaphore(size)
        self._timeout = timeout

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """Hold a connection.

        Raises:
            PoolTimeoutError: All were held by others for too long.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError as error:
            message = (
                "QueuePool limit of size 5 overflow 10 reached, connection "
                f"timed out, timeout {self._timeout:.2f}"
            )
            raise PoolTimeoutError(message) from error
        try:
            yield
        finally:
            self._free.release()
