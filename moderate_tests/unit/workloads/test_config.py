"""The environment is checked as a whole, and shows no secret."""

import pytest

from moderate.workloads.matrix_profile.config import read_config
from moderate.workloads.matrix_profile.errors import ConfigError
from moderate_tests.unit.workloads.samples import ENVIRONMENT


def test_it_is_read_with_its_defaults() -> None:
    config = read_config(ENVIRONMENT)
    assert config.variable == "power"
    assert config.max_points == 600_000
    assert config.window is None
    assert config.threads >= 1


def test_settings_override_the_defaults() -> None:
    config = read_config(
        {
            **ENVIRONMENT,
            "MATRIX_PROFILE_WINDOW": "7d",
            "MATRIX_PROFILE_MAX_BYTES": "1000",
            "MATRIX_PROFILE_MAX_POINTS": "2000",
            "MATRIX_PROFILE_THREADS": "3",
        }
    )
    assert config.window is not None
    assert config.window.is_time
    assert (config.max_bytes, config.max_points) == (1000, 2000)
    assert config.threads == 3


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(
            {
                "FILE_URL": "ftp://user:hunter2@host/x",
                "S3_ENDPOINT_URL": "http://[",
                "MATRIX_PROFILE_THREADS": "0",
                "MATRIX_PROFILE_WINDOW": "soon",
            }
        )
    message = str(caught.value)
    for name in (
        "FILE_URL is not",
        "ANALYSIS_VARIABLE is missing",
        "OUTPUT_BUCKET is missing",
        "OUTPUT_KEY is missing",
        "S3_ENDPOINT_URL is not",
        "S3_REGION is missing",
        "S3_ACCESS_KEY_ID is missing",
        "S3_SECRET_ACCESS_KEY is missing",
        "MATRIX_PROFILE_THREADS is not",
        "MATRIX_PROFILE_WINDOW",
    ):
        assert name in message
    assert "hunter2" not in message


def test_no_secret_is_shown() -> None:
    shown = repr(read_config(ENVIRONMENT))
    for secret in ("abcdef0123", "AKIAEXAMPLE", "very-secret-key"):
        assert secret not in shown
