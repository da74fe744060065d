"""What a check of an installation found, and how it is to be taken."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: What was looked at.
        grade: How it is to be taken; a fault is to be mended.
        found: What was found.
        advice: What to do; empty if nothing.
    """

    check: str
    grade: Grade
    found: str
    advice: str = ""
