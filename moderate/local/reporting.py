"""Tells a person how the start of the stack goes on."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn


class Reporter(Protocol):
    """Is told about each part; calls come from several threads."""

    def starting(self, part: str) -> None:
        """The part's start begins."""

    def note(self, part: str, text: str) -> None:
        """Something takes long; ``text`` says what."""

    def ready(self, part: str, seconds: float) -> None:
        """The part serves, after ``seconds``."""

    def failed(self, part: str) -> None:
        """The part did not start."""


class Lines:
    """Reports in plain lines, for logs and pipes.

    Args:
        write: Takes a line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def starting(self, part: str) -> None:
        """Say nothing: the end says more."""

    def note(self, part: str, text: str) -> None:
        """Say it."""
        self._write(f"{part}: {text}")

    def ready(self, part: str, seconds: float) -> None:
        """Say it."""
        self._write(f"{part}: ready after {seconds:.1f} s")

    def failed(self, part: str) -> None:
        """Say it."""
        self._write(f"{part}: FAILED")


class Silence(Lines):
    """Reports to nobody."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)


class Spinners:
    """Reports as a live table of spinners, for terminals.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description:<18}"),
            TextColumn("[dim]{task.fields[note]}[/]"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def starting(self, part: str) -> None:
        """Show the part's spinner."""
        with self._lock:
            self._tasks[part] = self._progress.add_task(part, total=1, note="")

    def note(self, part: str, text: str) -> None:
        """Show the text beside the spinner."""
        self._progress.update(self._tasks[part], note=text)

    def ready(self, part: str, seconds: float) -> None:
        """Tick the part off."""
        self._progress.update(
            self._tasks[part], completed=1, note=f"{seconds:.1f} s"
        )

    def failed(self, part: str) -> None:
        """Mark the part."""
        self._progress.stop_task(self._tasks[part])
        self._progress.update(self._tasks[part], note="[red]failed[/]")


@contextmanager
def reporting() -> Iterator[Reporter]:
    """Spinners in a terminal, plain lines anywhere else."""
    console = Console()
    if console.is_terminal:
        with Spinners(console) as spinners:
            yield spinners
    else:
        yield Lines(say)


def say(line: str) -> None:
    """Write a plain line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
