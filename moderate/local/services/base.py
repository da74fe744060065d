"""What all parts of the local stack have in common."""

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Self

from moderate.local import ports
from moderate.local.ports import LOOPBACK
from moderate.local.process import PartError, Process

#: In the environment of every process that we start: the part's folder.
MARKER = "MODERATE_LOCAL_PART"
# Of the person's environment, servers need no more than this.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "JAVA_HOME")
PORT_WAIT_SECONDS = 3.0
PORT_POLL_SECONDS = 0.05


def ignore(_: str) -> None:
    """Take a line of progress and do nothing with it."""


class Service(ABC):
    """One part: where its data lies, how it starts, how clients reach it.

    Args:
        folder: Everything that the part writes lies in here.
        log: Its log file; in ``folder`` unless told.
    """

    name: ClassVar[str]

    def __init__(self, folder: Path, *, log: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.log = log or self.folder / f"{self.name}.log"
        #: Takes lines of progress while something takes long.
        self.say: Callable[[str], None] = ignore
        #: Once set, a start gives up; a stack has one for all its parts.
        self.cancelled = threading.Event()
        self._process: Process | None = None

    @property
    @abstractmethod
    def ports(self) -> tuple[int, ...]:
        """The ports that the part listens on."""

    @abstractmethod
    def client_environment(self) -> dict[str, str]:
        """The environment variables by which clients find the part."""

    @abstractmethod
    def make_process(self) -> Process:
        """The part's process, not started."""

    @abstractmethod
    def prepare(self) -> None:
        """Lay out data and configuration; what is there already is kept.

        Raises:
            PartError: That did not work.
        """

    def settle(self) -> None:
        """Do what has to be done once the part serves."""
        return  # Nothing, in most parts.

    @property
    def process(self) -> Process:
        """The part's process.

        Raises:
            PartError: The part was never started.
        """
        if self._process is None:
            raise PartError(self.name, "was never started")
        return self._process

    @property
    def running(self) -> bool:
        """Whether the part's process runs."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start the part and return when it serves.

        Raises:
            PartError: It did not start; nothing of it is left running.
        """
        if self.running:
            return
        self._await_free_ports()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        if self._process is None:
            self._process = self.make_process()
        self._process.start()
        try:
            self.settle()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the part gently, with everything that it started."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """Kill the part with SIGKILL, as a crash would."""
        self.process.kill()

    def restart(self) -> None:
        """Stop the part gently and start it again, with the same data."""
        self.process.restart()

    def server_environment(self, **more: str) -> dict[str, str]:
        """A lean environment for the part's own processes."""
        kept = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        return {**kept, **self.marked(), **more}

    def marked(self) -> Mapping[str, str]:
        """What tells this part's processes from all others."""
        return {MARKER: str(self.folder)}

    def _await_free_ports(self) -> None:
        # What was killed a moment ago may need a moment to let go.
        deadline = time.monotonic() + PORT_WAIT_SECONDS
        for port in self.ports:
            while not ports.is_free(port):
                if time.monotonic() > deadline:
                    reason = f"port {port} is taken by another program"
                    raise PartError(self.name, reason)
                time.sleep(PORT_POLL_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class HttpService(Service):
    """A part that serves HTTP on one port of this machine.

    Args:
        folder: See ``Service``.
        port: Where it listens.
        log: See ``Service``.
    """

    def __init__(
        self, folder: Path, *, port: int, log: Path | None = None
    ) -> None:
        super().__init__(folder, log=log)
        self.port = port

    @property
    def ports(self) -> tuple[int, ...]:
        """The one port."""
        return (self.port,)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{LOOPBACK}:{self.port}"
