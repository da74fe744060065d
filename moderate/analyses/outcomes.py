"""How an attempt can end: one table of reasons, for every launcher.

A launcher says *why* an attempt ended, as one ``Reason``; what that means for
the retry (its kind) and for the person who asked for the analysis (a
sentence) stands in ``MEANINGS`` and nowhere else. docs/analyses.md shows the
same table, and a test holds the two equal.

Our workloads speak through their exit code, with the numbers of
``sysexits.h``, and through the last line that they write.

Only the standard library is imported: the supervisor uses this module too.
"""

import re
import signal
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from moderate.errors import ModerateError, PermanentError, TemporaryError

EX_OK = 0
EX_DATAERR = 65
EX_TEMPFAIL = 75
EX_CONFIG = 78

SIGNAL_BASE = 128
"""Shells and container runtimes report death by signal n as 128 + n."""

MAX_SUMMARY_CHARS = 200
MAX_LINE_CHARS = 2000
"""What is looked at of a line: cleaning must not take long either."""


class Kind(StrEnum):
    """What an ending means for the retry (see ``moderate.errors``)."""

    SUCCESS = "success"
    PERMANENT = "permanent"
    TEMPORARY = "temporary"
    UNKNOWN = "unknown"


class LastLine(StrEnum):
    """What the last line of the log is to the user-facing sentence."""

    UNUSED = "unused"
    FOLLOWS = "follows"
    REPLACES = "replaces"


class Reason(StrEnum):
    """Why an attempt ended."""

    SUCCEEDED = "succeeded"
    BAD_DATA = "bad_data"
    BAD_CONFIGURATION = "bad_configuration"
    TRY_LATER = "try_later"
    EXIT_CODE = "exit_code"
    OUT_OF_MEMORY = "out_of_memory"
    MACHINE_OUT_OF_MEMORY = "machine_out_of_memory"
    TIMED_OUT = "timed_out"
    KILLED = "killed"
    OUT_OF_DISK = "out_of_disk"
    COULD_NOT_START = "could_not_start"
    NO_IMAGE = "no_image"
    NO_CAPACITY = "no_capacity"
    STOPPED = "stopped"
    EVICTED = "evicted"
    NODE_LOST = "node_lost"
    REMOVED = "removed"
    LOST = "lost"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"


@dataclass(frozen=True)
class Meaning:
    """One row of the table.

    Attributes:
        kind: What the retry makes of it.
        sentence: What a user reads, in plain words.
        last_line: Whether the workload's own last line is shown too.
    """

    kind: Kind
    sentence: str
    last_line: LastLine = LastLine.UNUSED


MEANINGS: Mapping[Reason, Meaning] = MappingProxyType(
    {
        Reason.SUCCEEDED: Meaning(Kind.SUCCESS, "The analysis succeeded."),
        Reason.BAD_DATA: Meaning(
            Kind.PERMANENT,
            "The data can't be analysed.",
            LastLine.REPLACES,
        ),
        Reason.BAD_CONFIGURATION: Meaning(
            Kind.PERMANENT,
            "The analysis is not set up correctly.",
            LastLine.FOLLOWS,
        ),
        Reason.TRY_LATER: Meaning(
            Kind.TEMPORARY,
            "The analysis could not reach something that it needs.",
            LastLine.FOLLOWS,
        ),
        Reason.EXIT_CODE: Meaning(
            Kind.UNKNOWN, "The analysis failed.", LastLine.FOLLOWS
        ),
        # The same data needs the same memory next time.
        Reason.OUT_OF_MEMORY: Meaning(
            Kind.PERMANENT,
            "The analysis needed more memory than it may use.",
        ),
        # The kernel chose a victim: others may have used the memory.
        Reason.MACHINE_OUT_OF_MEMORY: Meaning(
            Kind.TEMPORARY,
            "The machine ran out of memory during the analysis.",
        ),
        Reason.TIMED_OUT: Meaning(
            Kind.UNKNOWN, "The analysis took longer than it may take."
        ),
        Reason.KILLED: Meaning(
            Kind.UNKNOWN, "The analysis ended unexpectedly."
        ),
        Reason.OUT_OF_DISK: Meaning(
            Kind.PERMANENT,
            "The analysis needed more disk space than it may use.",
        ),
        Reason.COULD_NOT_START: Meaning(
            Kind.PERMANENT, "The analysis could not be started."
        ),
        # Most often a registry that is down; a wrong name is capped.
        Reason.NO_IMAGE: Meaning(
            Kind.TEMPORARY, "The analysis' program could not be fetched."
        ),
        Reason.NO_CAPACITY: Meaning(
            Kind.TEMPORARY, "There was no room to run the analysis."
        ),
        Reason.STOPPED: Meaning(
            Kind.TEMPORARY, "The analysis was stopped before it had finished."
        ),
        Reason.EVICTED: Meaning(
            Kind.TEMPORARY, "The analysis had to leave its machine."
        ),
        Reason.NODE_LOST: Meaning(
            Kind.TEMPORARY, "The machine of the analysis was lost."
        ),
        Reason.REMOVED: Meaning(
            Kind.TEMPORARY, "Somebody removed the analysis before its end."
        ),
        Reason.LOST: Meaning(
            Kind.TEMPORARY, "The analysis was interrupted by a fault."
        ),
        # These two count as no failure: no work of the item has begun.
        Reason.UNREACHABLE: Meaning(
            Kind.TEMPORARY,
            "The place where analyses run could not be reached.",
        ),
        Reason.REFUSED: Meaning(
            Kind.TEMPORARY,
            "The place where analyses run refused the service.",
        ),
    }
)

_REASON_BY_EXIT_CODE: Mapping[int, Reason] = MappingProxyType(
    {
        EX_OK: Reason.SUCCEEDED,
        EX_DATAERR: Reason.BAD_DATA,
        EX_TEMPFAIL: Reason.TRY_LATER,
        EX_CONFIG: Reason.BAD_CONFIGURATION,
    }
)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        reason: Why, a row of ``MEANINGS``.
        exit_code: The command's exit code, where it had one.
        signal: The signal that killed it, where one did.
        detail: A few plain words that make the reason precise, such as the
            limit that was passed; never a secret.
    """

    reason: Reason
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the analysis did what it was asked to."""
        return self.reason is Reason.SUCCEEDED

    @property
    def kind(self) -> Kind:
        """What the retry makes of it."""
        return MEANINGS[self.reason].kind


class AnalysisFailedError(ModerateError):
    """The analysis failed in a way that says nothing about trying again."""


def outcome_of_exit(code: int, log_tail: bytes = b"") -> Outcome:
    """Explain the end of a command that nobody ended on purpose.

    Args:
        code: The exit code: -n or 128 + n for death by signal n.
        log_tail: The end of what the command wrote. An allocation that was
            refused shows there only.
    """
    killer = _signal_of(code)
    if code != EX_OK and _MEMORY_WORDS.search(last_line(log_tail)):
        return Outcome(Reason.OUT_OF_MEMORY, code, killer)
    if killer is not None:
        name = signal.Signals(killer).name
        return Outcome(Reason.KILLED, code, killer, f"by {name}")
    reason = _REASON_BY_EXIT_CODE.get(code, Reason.EXIT_CODE)
    detail = f"exit code {code}" if reason is Reason.EXIT_CODE else ""
    return Outcome(reason, code, None, detail)


def error_of(outcome: Outcome, summary: str) -> ModerateError:
    """Return the error whose kind says what to do about a failure.

    Args:
        outcome: How the attempt failed.
        summary: The error's text (see ``summarise``).

    Raises:
        ValueError: The outcome is a success.
    """
    match outcome.kind:
        case Kind.PERMANENT:
            return PermanentError(summary)
        case Kind.TEMPORARY:
            return TemporaryError(summary)
        case Kind.UNKNOWN:
            return AnalysisFailedError(summary)
        case Kind.SUCCESS:
            raise ValueError("a success has no error")


def summarise(outcome: Outcome, log_tail: bytes = b"") -> str:
    """Say in one line what happened, to the person who asked for it.

    The log is whatever the workload wrote, so its last line is cleaned:
    no control characters, no user names or query strings of URLs (the
    signature of a presigned URL is there), at most ``MAX_SUMMARY_CHARS``.
    """
    meaning = MEANINGS[outcome.reason]
    told = last_line(log_tail)
    if meaning.last_line is LastLine.REPLACES and told:
        return _shorten(told)
    sentence = meaning.sentence.rstrip(".")
    if meaning.last_line is LastLine.FOLLOWS and told:
        return _shorten(f"{sentence}: {told}")
    if outcome.detail:
        sentence = f"{sentence} ({_clean(outcome.detail)})"
    return _shorten(f"{sentence}.")


def last_line(log_tail: bytes) -> str:
    """Return the last line that says something, cleaned for showing."""
    lines = log_tail.decode(errors="replace").splitlines()
    cleaned = (_clean(line) for line in reversed(lines))
    return next((line for line in cleaned if line), "")


_MEMORY_WORDS = re.compile(r"^(?:[\w.]+\.)?\w*MemoryError\b|std::bad_alloc")
_TERMINAL_CODES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])"
)
_URL_USER = re.compile(r"://[^\s/?#@]+@")
_URL_QUERY = re.compile(r"(://[^\s?\"'<>]+)\?[^\s\"'<>]+")


def _signal_of(code: int) -> int | None:
    """Return which signal an exit code tells of, if it tells of one."""
    number = -code if code < 0 else code - SIGNAL_BASE
    known = number in signal.Signals.__members__.values()
    return number if known else None


def _clean(text: str) -> str:
    text = _TERMINAL_CODES.sub("", text[:MAX_LINE_CHARS])
    text = _URL_USER.sub("://", text)
    text = _URL_QUERY.sub(r"\1", text)
    spaced = " ".join(text.split())
    return "".join(c for c in spaced if unicodedata.category(c)[0] != "C")


def _shorten(text: str) -> str:
    if len(text) <= MAX_SUMMARY_CHARS:
        return text
    return f"{text[:MAX_SUMMARY_CHARS - 1].rstrip()}…"
