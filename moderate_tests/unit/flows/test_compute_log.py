"""What a run shows of its analysis' log: bounded, and no secret."""

import pytest
from pydantic import SecretStr

from moderate.flows.matrix_profile.compute_log import ComputeLog
from moderate.redaction import Redactor

SECRET = "sesame-open"
REST = "[the rest of the log is not shown here]\n"


def shown(capsys: pytest.CaptureFixture[str], bound: int, *lines: str) -> str:
    log = ComputeLog(Redactor([SecretStr(SECRET)]), bound)
    for line in lines:
        log(line.encode())
    return capsys.readouterr().out


def test_lines_are_shown_up_to_a_bound(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown(capsys, 8, "one\n", "two\n", "three\n") == f"one\ntwo\n{REST}"


def test_one_long_line_is_cut_at_the_bound(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A workload may write megabytes without a newline."""
    assert shown(capsys, 10, "x" * 10_000, "y\n") == f"{'x' * 10}\n{REST}"


def test_a_secret_at_the_cut_is_not_shown_in_half(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = shown(capsys, 10, f"token={SECRET}\n")

    assert SECRET[:4] not in told
    assert told.startswith("token=***")
