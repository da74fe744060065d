"""A TCP proxy that a test can make silent or cut."""

import math
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_CHUNK = 65_536


class Proxy:
    """Forwards bytes between clients and one server.

    Attributes:
        port: Where clients connect, on the loopback interface.
        is_spent: Set once what ``limit`` allowed has gone by.
        heard: What the clients sent, where somebody listens.
    """

    def __init__(
        self, server: tuple[str, int], *, listens: bool = False
    ) -> None:
        self._server = server
        self.heard: bytearray | None = bytearray() if listens else None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._flowing = threading.Event()
        self._flowing.set()
        self._left = math.inf
        self._at_limit: Callable[[], None] = self.hold
        self.is_spent = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def hold(self) -> None:
        """Forward nothing more, and let the connections stand."""
        self._flowing.clear()

    def resume(self) -> None:
        """Forward again."""
        self._flowing.set()

    def limit(self, count: int, then: Callable[[], None]) -> None:
        """Let so many bytes of the clients go by, then do that once."""
        self._left, self._at_limit = count, then

    def cut(self) -> None:
        """Break off every connection."""
        for pair in self._pairs:
            for each in pair:
                with suppress(OSError):  # The other side was faster.
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop; nothing stays open."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        self._flowing.set()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):  # The listener was closed.
            while True:
                client, _ = self._listener.accept()
                pair = client, socket.create_connection(self._server)
                self._pairs.append(pair)
                thread = threading.Thread(target=self._forward, args=pair)
                self._threads.append(thread)
                thread.start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        with client, server, suppress(OSError):
            while True:
                for each in select.select([client, server], [], [])[0]:
                    self._flowing.wait()
                    if not (data := each.recv(_CHUNK)):
                        return
                    if each is client:
                        if self.heard is not None:
                            self.heard += data
                        self._count(len(data))
                        self._flowing.wait()
                    other[each].sendall(data)

    def _count(self, sent: int) -> None:
        before, self._left = self._left, self._left - sent
        if self._left < 0 <= before:
            self._at_limit()
            self.is_spent.set()


@contextmanager
def proxied(host: str, port: int, *, listens: bool = False) -> Iterator[Proxy]:
    """Run a proxy to a server for the length of a block."""
    proxy = Proxy((host, port), listens=listens)
    try:
        yield proxy
    finally:
        proxy.close()
