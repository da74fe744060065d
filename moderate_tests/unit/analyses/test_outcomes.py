"""What an ending means, to the retry and to the user."""

import signal
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.analyses.outcomes import (
    MAX_SUMMARY_CHARS,
    MEANINGS,
    AnalysisFailedError,
    Kind,
    LastLine,
    Outcome,
    Reason,
    error_of,
    last_line,
    outcome_of_exit,
    summarise,
)
from moderate.errors import ModerateError, PermanentError, TemporaryError

DOCS = Path(__file__).parents[3] / "docs" / "analyses.md"
SHOWN = {
    LastLine.UNUSED: "",
    LastLine.FOLLOWS: "follows",
    LastLine.REPLACES: "instead",
}


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


def test_only_success_is_a_success() -> None:
    kinds = {r for r, m in MEANINGS.items() if m.kind is Kind.SUCCESS}
    assert kinds == {Reason.SUCCEEDED}


def test_the_documentation_shows_the_table() -> None:
    rows = [
        f"| `{reason}` | {meaning.kind} | {meaning.sentence} "
        f"| {SHOWN[meaning.last_line]} |".replace("|  |", "| |")
        for reason, meaning in MEANINGS.items()
    ]
    section = DOCS.read_text().partition("\n## How it ends\n")[2]
    lines = section.partition("\n## ")[0].splitlines()
    assert [line for line in lines if line.startswith("| `")] == rows


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0, Reason.SUCCEEDED),
        (1, Reason.EXIT_CODE),
        (65, Reason.BAD_DATA),
        (75, Reason.TRY_LATER),
        (78, Reason.BAD_CONFIGURATION),
        (128, Reason.EXIT_CODE),
        (255, Reason.EXIT_CODE),
    ],
)
def test_exit_codes_are_those_of_sysexits(code: int, reason: Reason) -> None:
    assert outcome_of_exit(code).reason is reason


@pytest.mark.parametrize("code", [-9, 137])
def test_death_by_signal_has_two_spellings(code: int) -> None:
    """A parent sees -9; a shell and a container runtime say 137."""
    outcome = outcome_of_exit(code)

    assert (outcome.reason, outcome.signal) == (Reason.KILLED, signal.SIGKILL)


@pytest.mark.parametrize(
    "line",
    [
        "MemoryError",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9 TiB",
        "pyarrow.lib.ArrowMemoryError: malloc of size 64 failed",
        "  what():  std::bad_alloc",
    ],
)
def test_a_refused_allocation_is_out_of_memory(line: str) -> None:
    log = f"Traceback (most recent call last):\n{line}\n\n".encode()

    assert outcome_of_exit(1, log).reason is Reason.OUT_OF_MEMORY
    assert outcome_of_exit(0, log).reason is Reason.SUCCEEDED


def test_words_about_memory_are_not_a_refused_allocation() -> None:
    log = b"ValueError: expected a MemoryError\n"

    assert outcome_of_exit(1, log).reason is Reason.EXIT_CODE


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Reason.BAD_DATA, PermanentError),
        (Reason.LOST, TemporaryError),
        (Reason.EXIT_CODE, AnalysisFailedError),
    ],
)
def test_the_kind_reaches_the_inbox_as_an_error(
    reason: Reason, error: type[ModerateError]
) -> None:
    raised = error_of(Outcome(reason), "in short")

    assert type(raised) is error
    assert str(raised) == "in short"


def test_an_unknown_failure_is_neither_permanent_nor_temporary() -> None:
    """The inbox treats it as temporary, and caps it."""
    error = error_of(Outcome(Reason.EXIT_CODE), "")

    assert not isinstance(error, PermanentError | TemporaryError)


def test_a_success_has_no_error() -> None:
    with pytest.raises(ValueError, match="success"):
        error_of(Outcome(Reason.SUCCEEDED), "")


def test_a_detail_makes_the_sentence_precise() -> None:
    outcome = Outcome(Reason.TIMED_OUT, detail="limit 60 s")

    told = "The analysis took longer than it may take (limit 60 s)."
    assert summarise(outcome, b"a line\n") == told


def test_without_a_last_line_the_sentence_stands_alone() -> None:
    assert (
        summarise(Outcome(Reason.BAD_DATA), b"\n \n")
        == "The data can't be analysed."
    )
    assert (
        summarise(outcome_of_exit(3)) == "The analysis failed (exit code 3)."
    )


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (b"one\ntwo\n\n", "two"),
        (b"10 %\r90 %\r", "90 %"),
        (b"\x1b[31mred\x1b[0m and \x1b]0;title\x07plain", "red and plain"),
        (b"a\tb\x00c\x7f\n", "a bc"),
        ("right\u202eleft\n".encode(), "rightleft"),
        (b"cut \xff here", "cut \ufffd here"),
        (b"", ""),
    ],
)
def test_the_last_line_is_clean(log: bytes, line: str) -> None:
    assert last_line(log) == line


def test_a_summary_shows_no_secret_of_a_url() -> None:
    log = (
        b"HTTPError: 403 for url 'https://me:pw@s3.example/b/k.csv"
        b"?X-Amz-Credential=AK%2F1&X-Amz-Signature=abc' (try 3?)\n"
    )

    told = summarise(Outcome(Reason.BAD_DATA), log)

    expected = "HTTPError: 403 for url 'https://s3.example/b/k.csv' (try 3?)"
    assert told == expected


@given(st.sampled_from(list(Reason)), st.text(), st.binary())
def test_a_summary_is_one_short_line(
    reason: Reason, detail: str, log: bytes
) -> None:
    told = summarise(Outcome(reason, detail=detail), log)

    assert told
    assert len(told) <= MAX_SUMMARY_CHARS
    assert len(told.splitlines()) == 1
    assert not [c for c in told if unicodedata.category(c)[0] == "C"]


def test_a_huge_line_is_cut() -> None:
    told = summarise(Outcome(Reason.BAD_DATA), b"://a.b?" * 10**6)

    assert len(told) <= MAX_SUMMARY_CHARS
