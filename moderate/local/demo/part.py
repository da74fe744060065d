"""What each flow brings to the demo."""

from collections.abc import Callable
from typing import Protocol

from rich.table import Table

Say = Callable[[str], None]
"""Tells the person at the terminal what happens."""


class Part(Protocol):
    """One flow's part: something is done, and its effect is waited for."""

    def begin(self) -> None:
        """Do what a user of the platform would do, and say so."""
        ...

    def look(self) -> bool:
        """Say what has happened since; whether all has come to its end."""
        ...

    def table(self) -> Table:
        """Return what became of everything, as the platform says it."""
        ...
