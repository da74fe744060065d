"""What the service was told is shown, secrets excepted."""

import pytest

from moderate_tests.integration.commands.conftest import Command

pytestmark = pytest.mark.services


def test_settings_are_shown_without_secrets(
    moderate: Command,
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MATRIX_PROFILE_ALLOWED_IMAGES", "team/[ab]*:1.*")
    said = moderate("settings")
    assert said.code == 0
    assert settings["POSTGRES_PASSWORD"] not in said.out
    assert "(set, hidden)" in said.out
    assert "team/[ab]*:1.*" in said.out
    assert "flow matrix_profile is off: set " in said.out


def test_wrong_settings_are_listed(
    moderate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_PORT", "many")
    monkeypatch.setenv("RABBIT_URL", "http://user:canary@host")
    said = moderate("settings")
    assert said.code == 1
    assert "2 setting(s) missing or wrong" in said.err
    assert "canary" not in said.err
