"""What is missing is named, with the line that brings it."""

from pathlib import Path

import pytest

from moderate.local.install import (
    InstallError,
    Requirement,
    ensure,
    locate,
    missing,
)

ABSENT = Requirement("Quill", "quill-server", lambda: None)
PRESENT = Requirement("Ink", "ink", lambda: Path("/bin/ink"))


def test_nothing_is_installed_when_nothing_is_missing() -> None:
    said: list[str] = []
    ensure([PRESENT], said.append)
    assert said == []


def test_without_apt_the_exact_line_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError) as caught:
        ensure([PRESENT, ABSENT])
    assert str(caught.value) == (
        "Missing: Quill. Install with:\n"
        "  sudo apt-get update && sudo apt-get install --yes "
        "--no-install-recommends quill-server"
    )


def test_what_is_not_there_is_not_located() -> None:
    assert missing([PRESENT, ABSENT]) == [ABSENT]
    assert locate(PRESENT) == Path("/bin/ink")
    with pytest.raises(InstallError, match="Quill is missing"):
        locate(ABSENT)
