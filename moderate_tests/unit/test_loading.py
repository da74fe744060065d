"""The code location loads anywhere, lightly, and says what it misses."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HEAVY = (
    "boto3",
    "hvac",
    "kubernetes",
    "metadata",
    "numba",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "pyscamp",
    "stumpy",
)

LOAD = """
import json, sys

def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo"}:
        raise RuntimeError(f"the network was used: {event} {arguments}")

sys.addaudithook(refuse)

from moderate.definitions import defs

loaded = defs.get_repository_def()
"""

FACTS = """
print(json.dumps({
    "modules": sorted(sys.modules),
    "jobs": sorted(loaded.job_names),
    "sensors": sorted(each.name for each in loaded.sensor_defs),
    "resources": sorted(loaded.get_top_level_resources()),
}))
"""

SKIPS = """
from dagster import DagsterInstance, RunStatusSensorDefinition
from dagster import build_sensor_context

said = {}
with DagsterInstance.ephemeral() as instance:
    for sensor in loaded.sensor_defs:
        if isinstance(sensor, RunStatusSensorDefinition):
            continue
        context = build_sensor_context(
            instance=instance, resources=defs.resources
        )
        with context:
            said[sensor.name] = sensor(context).skip_message
print(json.dumps(said))
"""


def run(
    code: str, folder: Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process with no environment but the given."""
    return subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code],
        env=dict(environ or {}),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_loading_needs_no_setting_no_network_and_no_heavy_module(
    tmp_path: Path,
) -> None:
    done = run(LOAD + FACTS, tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert not set(HEAVY) & set(facts["modules"])
    assert set(facts["jobs"]) >= {
        "building_stock_job",
        "create_asset_object_proof_job",
        "genome_project_datasets_job",
        "matrix_profile_job",
        "platform_job_results_job",
        "propagate_new_user_to_trust_services_job",
    }
    assert set(facts["sensors"]) >= {
        "matrix_profile_leftovers_sensor",
        "matrix_profile_messages_sensor",
        "matrix_profile_reconcile_sensor",
        "platform_api_asset_object_sensor",
    }
    assert {
        "platform_api",
        "postgres",
        "rabbit",
        "s3",
        "s3_object_storage",
    } <= set(facts["resources"])
    assert not list(tmp_path.iterdir()), "loading leaves nothing behind"


def test_sensors_of_a_flow_that_is_off_name_what_switches_it_on(
    tmp_path: Path,
) -> None:
    done = run(LOAD + SKIPS, tmp_path, {"RABBIT_URL": "amqp://u:p@host/"})
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for sensor, text in said.items():
        assert " is off: set " in text
        assert "POSTGRES_HOST" in text
        assert "RABBIT_URL" not in text, "it is set"
        if sensor.startswith("matrix_profile"):
            assert text.startswith("flow matrix_profile is off: set ")
            assert "S3_SECRET_ACCESS_KEY" in text


def test_wrong_settings_are_one_error_that_lists_them_all(
    tmp_path: Path,
) -> None:
    wrong = {
        "POSTGRES_HOST": "localhost",
        "POSTGRES_PORT": "many",
        "POSTGRES_PASSWORD": "canary-of-postgres",
        "RABBIT_URL": "http://user:canary-of-rabbit@host",
        "MATRIX_PROFILE_JOB_TAG": "latest",
    }
    done = run("import moderate.definitions", tmp_path, wrong)
    assert done.returncode != 0
    *_, error = done.stderr.split("SettingsError: ")
    lines = error.splitlines()
    assert lines[0] == "4 setting(s) missing or wrong:"
    for name in (
        "POSTGRES_PORT",
        "POSTGRES_USERNAME",
        "RABBIT_URL",
        "MATRIX_PROFILE_JOB_TAG",
    ):
        assert any(line.startswith(f"  - {name}: ") for line in lines)
    assert "canary" not in done.stderr
