"""Names and descriptions of attempts."""

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from moderate.analyses.launcher import AnalysisSpec, AttemptId, Limits

ATTEMPT = AttemptId("matrix-profile", 42, 3)
MINUTE = timedelta(minutes=1)
BIGGEST_ID = 2**63 - 1

kinds = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
numbers = st.integers(0, BIGGEST_ID)


def spec(**changes: Any) -> AnalysisSpec:
    facts = {"attempt": ATTEMPT, "command": ("run",), "timeout": MINUTE}
    return AnalysisSpec(**{**facts, **changes})


def test_a_name_says_which_attempt_it_is() -> None:
    assert ATTEMPT.name == "matrix-profile-42-d3"


@given(kinds, numbers, st.integers(0, 2**31 - 1))
def test_a_name_is_its_attempts_alone_and_good_for_kubernetes(
    kind: str, item: int, dispatch: int
) -> None:
    attempt = AttemptId(kind, item, dispatch)

    assert AttemptId.parse(attempt.name) == attempt
    # RFC 1123 label, as Kubernetes wants it.
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", attempt.name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lost+found",
        ".gone-matrix-profile-42-d3-00ff",
        "matrix-profile-42",
        "matrix-profile-042-d3",
        "matrix-profile-42-d٣",
        "Matrix-42-d3",
    ],
)
def test_other_names_are_no_attempts(name: str) -> None:
    assert AttemptId.parse(name) is None


@pytest.mark.parametrize(
    ("kind", "item", "dispatch"),
    [
        ("", 1, 1),
        ("matrix_profile", 1, 1),
        ("../etc", 1, 1),
        ("a-", 1, 1),
        ("a", -1, 1),
        ("a", 1, -1),
        ("a" * 60, 1, 1),
    ],
)
def test_an_attempt_without_a_good_name_is_refused(
    kind: str, item: int, dispatch: int
) -> None:
    with pytest.raises(ValueError, match=r"kind|negative|characters"):
        AttemptId(kind, item, dispatch)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"timeout": timedelta()}, "timeout"),
        ({"stop_grace": timedelta(seconds=-1)}, "stop_grace"),
        ({"env": {"A": "1"}, "secrets": {"A": SecretStr("2")}}, "both"),
        ({"env": {"A=B": "1"}}, "names"),
        ({"command": ("a\0b",)}, "NUL"),
        ({"env": {"A": "\0"}}, "NUL"),
        ({"secrets": {"A": SecretStr("\0")}}, "NUL"),
    ],
)
def test_a_spec_that_nobody_can_run_is_refused(
    changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        spec(**changes)


@pytest.mark.parametrize("limits", [{"memory_bytes": 0}, {"cpus": 0}])
def test_a_limit_of_nothing_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Limits(**limits)


def test_a_spec_does_not_change_with_what_it_was_made_from() -> None:
    env = {"A": "1"}
    made = spec(env=env)
    env["A"] = "2"

    assert made.env == {"A": "1"}
    with pytest.raises(TypeError):
        made.env["A"] = "3"  # type: ignore[index]


def test_a_spec_shows_no_secret() -> None:
    made = spec(secrets={"FILE_URL": SecretStr("canary")})

    assert "canary" not in f"{made} {made!r}"
