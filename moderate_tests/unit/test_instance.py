"""Rule 15: what Dagster's instance must be told, for the promises to hold."""

from importlib.resources import files
from typing import Any

import pytest
import yaml

from moderate.definitions import build_defs

MOST_SECONDS = 5


@pytest.fixture(scope="module")
def instance() -> Any:
    text = files("moderate.local").joinpath("dagster.yaml").read_text()
    return yaml.safe_load(text)


def test_run_monitoring_is_on_and_resumes_nothing(instance: Any) -> None:
    """A run whose worker is gone must not stay STARTED unseen; the inbox
    alone decides on another try."""
    assert instance["run_monitoring"]["enabled"] is True
    assert instance["run_monitoring"]["max_resume_run_attempts"] == 0


def test_queued_runs_survive_a_restart_of_the_code_server(
    instance: Any,
) -> None:
    """They fail at once otherwise."""
    assert instance["run_queue"]["max_user_code_failure_retries"] > 0


def test_dagster_retries_no_run(instance: Any) -> None:
    """Rule 9: one retry authority, the inbox.

    A job for work items is one that a sensor asks to run.
    """
    assert instance["run_retries"]["enabled"] is False
    defs = build_defs()
    names = {
        target.job_name
        for sensor in defs.sensors or ()
        for target in getattr(sensor, "targets", ())
    }
    assert names >= {"matrix_profile_job", "platform_job_results_job"}
    for name in names:
        job = defs.resolve_job_def(name)
        assert job.tags["dagster/max_retries"] == "0", name


def test_sensors_look_as_often_as_the_daemon_lets_them() -> None:
    sensors = {
        sensor.name: sensor.minimum_interval_seconds or 0
        for sensor in build_defs().sensors or ()
        if hasattr(sensor, "minimum_interval_seconds")
    }
    assert sensors["matrix_profile_messages_sensor"] <= MOST_SECONDS


def test_ticks_are_not_kept_for_ever(instance: Any) -> None:
    kept = instance["retention"]["sensor"]["purge_after_days"]
    assert all(days > 0 for days in kept.values())
