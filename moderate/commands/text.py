"""Text for tables: shown as it is, whoever wrote it."""

from rich.text import Text


def plain(value: str) -> Text:
    """Return text that is no markup and can't write to the terminal.

    Much of what is shown came from a queue, a file or a peer's answer; what
    can't be printed is shown escaped.
    """
    return Text("".join(map(_visible, value)))


def _visible(char: str) -> str:
    return char if char.isprintable() or char == "\n" else repr(char)[1:-1]
