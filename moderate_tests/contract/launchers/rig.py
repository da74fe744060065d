"""What the contract suite needs from a launcher under test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from moderate.analyses.launcher import (
    AnalysisSpec,
    AttemptId,
    Launcher,
    Limits,
)

KIND = "contract"
IMAGE = "docker.io/library/python:3.11-slim"
"""What runs a program, where an image does."""


class Rig(Protocol):
    """A place to run analyses, made anew for each case."""

    @property
    def evidence(self) -> Path:
        """A folder that the programs and the test both see."""
        ...

    def launcher(self) -> Launcher:
        """Return a launcher as one more worker would have it."""
        ...

    def python(self, source: str) -> tuple[str, ...]:
        """Return the command that runs a Python program there."""
        ...

    def close(self) -> None:
        """Take the place down."""
        ...


@dataclass(frozen=True)
class Bench:
    """One case's place to run: launches programs and remembers them."""

    rig: Rig
    launched: list[AttemptId] = field(default_factory=list)

    def spec(
        self,
        source: str,
        *,
        item: int = 1,
        dispatch: int = 1,
        command: tuple[str, ...] = (),
        timeout: timedelta = timedelta(minutes=2),
        stop_grace: timedelta = timedelta(seconds=10),
        limits: Limits | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, SecretStr] | None = None,
    ) -> AnalysisSpec:
        """Describe an attempt that runs a Python program."""
        attempt = AttemptId(KIND, item, dispatch)
        self.launched.append(attempt)
        return AnalysisSpec(
            attempt=attempt,
            command=command or self.rig.python(source),
            image=IMAGE,
            timeout=timeout,
            stop_grace=stop_grace,
            limits=limits or Limits(),
            env=env or {},
            secrets=secrets or {},
        )

    def close(self) -> None:
        """End whatever a case left running."""
        launcher = self.rig.launcher()
        for attempt in set(self.launched):
            launcher.stop(attempt)
        self.rig.close()


MakeRig = Callable[[Path], Rig]
