"""Programs written in Go that are built once a machine, at a fixed version."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moderate.local import cache
from moderate.local.command import run_to_end

BUILD_TIMEOUT_SECONDS = 1800


@dataclass(frozen=True)
class GoProgram:
    """A program, and where it comes from.

    Attributes:
        name: What people call it.
        package: Its main package.
        version: Of its module; Go's checksum database holds it to that.
    """

    name: str
    package: str
    version: str

    @property
    def path(self) -> Path:
        """Where it is, or will be: in the user's cache."""
        folder = cache.cache_folder() / f"{self.name}-{self.version}"
        # `go install` names a program after its package.
        return folder / self.package.rpartition("/")[2]

    def build(
        self,
        say: Callable[[str], None] = lambda _: None,
        cancelled: threading.Event | None = None,
    ) -> None:
        """Build it, unless it is there.

        Args:
            say: Takes lines of progress; a build takes a minute or two.
            cancelled: Once set, the build is given up.

        Raises:
            PartError: The build failed.
        """
        folder = cache.cache_folder()
        with cache.locked(folder / f"{self.name}.lock"):
            if self.path.exists():
                return
            say(f"building {self.name} {self.version}, once a machine")
            run_to_end(
                self.name,
                f"building {self.name}",
                ["go", "install", f"{self.package}@{self.version}"],
                environment={**os.environ, "GOBIN": str(self.path.parent)},
                folder=folder,
                log=folder / f"{self.name}-build.log",
                timeout=BUILD_TIMEOUT_SECONDS,
                say=say,
                cancelled=cancelled,
            )
