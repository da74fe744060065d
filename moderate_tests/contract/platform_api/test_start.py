"""The emulator's command: one line when ready, clear words when not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "moderate.local.platform_api"]


def run(**settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"]} | {
        f"EMULATOR_{name.upper()}": value for name, value in settings.items()
    }
    return subprocess.run(
        COMMAND,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {
        "state_file": str(tmp_path / "state.sqlite"),
        "keycloak_server_url": "http://127.0.0.1:1",
        "keycloak_client_secret": "canary-client-secret",
        "s3_endpoint_url": "http://127.0.0.1:1",
        "s3_access_key_id": "key",
        "s3_secret_access_key": "canary-s3-secret",
        "port": "0",
    }


def test_all_faults_of_the_settings_are_told_by_name_at_once() -> None:
    ended = run(port="99999", task_failure_fraction="2", faults='{"nope": 1}')

    assert ended.returncode == 2
    for name in (
        "STATE_FILE",
        "KEYCLOAK_CLIENT_SECRET",
        "S3_ENDPOINT_URL",
        "PORT",
        "TASK_FAILURE_FRACTION",
        "FAULTS",
    ):
        assert f"EMULATOR_{name}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("wrong", [{"task_second": "1"}, {"faults": "{nope"}])
def test_a_misspelt_setting_is_told(
    settings: dict[str, str], wrong: dict[str, str]
) -> None:
    ended = run(**settings | wrong)

    assert ended.returncode == 2
    (name,) = wrong
    assert name in ended.stderr.lower()
    assert "Traceback" not in ended.stderr


def test_a_secret_is_not_told(settings: dict[str, str]) -> None:
    ended = run(**settings | {"port": "x"})

    assert ended.returncode == 2
    assert "canary" not in ended.stderr + ended.stdout


def test_a_state_file_that_cannot_be_written_is_told(
    settings: dict[str, str],
) -> None:
    ended = run(**settings | {"state_file": "/nowhere/at/all/state.sqlite"})

    assert ended.returncode == 1
    assert "cannot start" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_free_port_is_taken_and_named(settings: dict[str, str]) -> None:
    environment = {"PATH": os.environ["PATH"]} | {
        f"EMULATOR_{name.upper()}": value for name, value in settings.items()
    }
    with subprocess.Popen(
        COMMAND, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()

    assert line.startswith("platform API emulator ready on http://127.0.0.1:")
    assert not line.rstrip().endswith(":0")
