"""One run of a command under a guard, seen from the supervisor."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from moderate.local import guard

# What the guard gets on top of the command's own grace to kill the rest.
GUARD_MARGIN_SECONDS = 10.0


class Guarded:
    """A started command: its guard's process and what that reports.

    Args:
        command: The program and its arguments.
        environment: The whole environment of the command.
        folder: Its working folder.
        log: What its output is appended to.
        stop_signal: What asks it to end.
        grace: Seconds that it gets to end before it is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        stop_signal: signal.Signals,
        grace: float,
    ) -> None:
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", guard.__file__),
                    *("--supervisor", str(os.getpid())),
                    *("--stop-signal", str(int(stop_signal))),
                    *("--grace", str(grace)),
                    *("--", *command),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                env=dict(environment),
                cwd=folder,
                # Ctrl-C in a terminal goes to the supervisor alone.
                start_new_session=True,
            )
        self._grace = grace
        self.pid: int | None = None
        self.exit_code: int | None = None
        self._started = threading.Event()
        self._ended = threading.Event()
        threading.Thread(
            target=self._listen, args=[self._guard.stdout], daemon=True
        ).start()
        self._started.wait()

    def _listen(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                word, _, number = line.decode().partition(" ")
                if word == "started":
                    self.pid = int(number)
                    self._started.set()
                elif word == "ended":
                    self.exit_code = int(number)
                    self._ended.set()
        self._ended.set()
        self._started.set()

    @property
    def running(self) -> bool:
        """Whether the command itself runs."""
        return not self._ended.is_set()

    @property
    def anything_left(self) -> bool:
        """Whether the command or something that it started still runs."""
        return self._guard.poll() is None

    def wait(self, seconds: float) -> bool:
        """Wait for the command's end; False when it still runs."""
        return self._ended.wait(seconds)

    def stop(self) -> None:
        """End the command gently, then kill whatever is left of it."""
        self._tell(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the command and whatever it started."""
        self._tell(signal.SIGUSR1)

    def _tell(self, number: signal.Signals) -> None:
        self._guard.send_signal(number)
        try:
            self._guard.wait(self._grace + GUARD_MARGIN_SECONDS)
        except subprocess.TimeoutExpired:
            # The kernel kills the command when its guard ends.
            self._guard.kill()
            self._guard.wait()
        self._ended.wait()
