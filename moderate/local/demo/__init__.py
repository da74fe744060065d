"""The demo: real data through the real service, told as it happens.

Each flow has a part of its own. All parts begin, then all are watched until
the last one is over; the closing tables say what became of everything, as
the platform says it.
"""

import time
from datetime import timedelta
from pathlib import Path

from rich.console import Group

from moderate.local.demo import datasets
from moderate.local.demo.matrix_profile import MatrixProfile
from moderate.local.demo.metadata import Metadata
from moderate.local.demo.part import Part, Say
from moderate.local.demo.trust import EMULATOR, SETTINGS, Trust
from moderate.local.reporting import Reporter
from moderate.local.stack import Stack

PATIENCE = timedelta(minutes=10)
POLL_SECONDS = 0.5


def demo_stack(
    root: Path,
    reporter: Reporter | None = None,
    *,
    in_docker: bool = False,
) -> Stack:
    """Return the stack of the demo: some of its faults are on purpose."""
    return Stack(
        root,
        reporter=reporter,
        in_docker=in_docker,
        emulator=EMULATOR,
        environment={**SETTINGS, **datasets.settings(root)},
    )


class Demo:
    """The demo on a stack that is up.

    Args:
        stack: The stack.
        say: Tells the person what happens.
    """

    def __init__(self, stack: Stack, say: Say) -> None:
        self._say = say
        self.matrix_profile = MatrixProfile(stack, say)
        self._parts: tuple[Part, ...] = (
            Trust(stack, say),
            datasets.Datasets(stack, say),
            Metadata(stack, say),
            self.matrix_profile,
        )

    def run(self) -> None:
        """Let every part begin, and watch until all are over.

        Raises:
            TimeoutError: Something is still open when patience ends.
        """
        try:
            self._watch()
        finally:
            self.matrix_profile.close()

    def _watch(self) -> None:
        for part in self._parts:
            part.begin()
        self._say("The sensors see what is new, and runs work on it …")
        open_parts = self._parts
        deadline = time.monotonic() + PATIENCE.total_seconds()
        while open_parts := tuple(p for p in open_parts if not p.look()):
            if time.monotonic() > deadline:
                names = ", ".join(type(part).__name__ for part in open_parts)
                msg = f"not over after {PATIENCE}: {names}"
                raise TimeoutError(msg)
            time.sleep(POLL_SECONDS)  # the platform tells nobody; it is asked

    def closing(self) -> Group:
        """Return the tables of all parts."""
        return Group(*(part.table() for part in self._parts))
