"""What the reader of a report must know about the data behind it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Note:
    """One sentence on the quality or the treatment of the data.

    Attributes:
        text: The sentence, for a building engineer.
        level: ``warning`` if the result must be read with care.
    """

    text: str
    level: Literal["info", "warning"] = "info"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Writes a number with its noun: ``1 gap``, ``1,204 gaps``."""
    noun = singular if number == 1 else plural or f"{singular}s"
    return f"{number:,} {noun}"
