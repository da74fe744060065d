"""The fast path on Kubernetes: manifests, and values of Dagster's chart."""

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from dagster._config import validate_config
from dagster_k8s import K8sRunLauncher
from jsonschema import Draft202012Validator

from moderate.cli import cli
from moderate.fastpath.launcher import ByTagRunLauncher
from moderate.settings import load_settings
from moderate_tests.unit.deploy.files import (
    MANIFESTS,
    ROOT,
    VALUES,
    documents,
    layered,
    load,
    values_of,
)
from moderate_tests.unit.deploy.test_charts import (
    SCHEMAS,
    assert_restricted,
    without_required,
)

OPTIONAL = MANIFESTS / "optional"
DEPLOYMENTS = {
    each["metadata"]["name"]: each
    for each in documents(OPTIONAL / "fast-path.yaml")
}
VALUES_OF_IT = load(VALUES / "dagster" / "values-fast-path.yaml")
STOCK = values_of("dagster", "production")
DAGSTER = layered(STOCK, VALUES_OF_IT)
CUSTOM = DAGSTER["runLauncher"]["config"]["customRunLauncher"]
OTHER = CUSTOM["config"]["other"]
HOME = "/opt/dagster/dagster_home"


def pod_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    return found


def container_of(name: str) -> dict[str, Any]:
    (container,) = pod_of(name)["containers"]
    found: dict[str, Any] = container
    return found


def environment_of(container: Any) -> dict[str, Any]:
    return {each["name"]: each for each in container["env"]}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_part_fits_kubernetes_and_pod_security_restricted(name: str) -> None:
    kubernetes_validate.validate(DEPLOYMENTS[name], "1.34", strict=True)
    container = container_of(name)

    assert_restricted(
        pod_of(name)["securityContext"], container["securityContext"]
    )
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container["resources"]["limits"].keys() == {"memory"}
    mounts = {each["name"] for each in container["volumeMounts"]}
    assert mounts == {each["name"] for each in pod_of(name)["volumes"]}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_part_has_what_the_code_server_has(name: str) -> None:
    """Also the image by which runs find a worker of their own release."""
    (code,) = STOCK["dagster-user-deployments"]["deployments"]
    container = container_of(name)
    environment = environment_of(container)

    image = f"{code['image']['repository']}:{code['image']['tag']}"
    assert container["image"] == image
    assert environment["DAGSTER_CURRENT_IMAGE"]["value"] == image
    for each in code["env"]:
        assert environment[each["name"]] == each
    assert container["envFrom"] == [
        *({"configMapRef": each} for each in code["envConfigMaps"]),
        *({"secretRef": each} for each in code["envSecrets"]),
    ]
    (secret,) = {
        each["valueFrom"]["secretKeyRef"]["name"]
        for each in (environment["DAGSTER_PG_PASSWORD"],)
    }
    assert secret == STOCK["global"]["postgresqlSecretName"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_part_is_started_by_a_command_that_there_is(name: str) -> None:
    program, command, *options = container_of(name)["args"]
    known = {
        option
        for parameter in cli.commands[command].params
        for option in parameter.opts
    }

    assert program == "/opt/moderate/bin/moderate"
    assert {each.partition("=")[0] for each in options} <= known


@pytest.mark.parametrize("name", DEPLOYMENTS)
@pytest.mark.parametrize("probe", ["readinessProbe", "livenessProbe"])
def test_a_probe_tells_a_fresh_sign_of_life_from_an_old_one(
    name: str, probe: str, tmp_path: Path
) -> None:
    command = container_of(name)[probe]["exec"]["command"]
    sign = tmp_path / "alive"
    here = [each.replace("/tmp/alive", str(sign)) for each in command]

    def is_well() -> bool:
        done = subprocess.run(here, check=False, capture_output=True)
        return done.returncode == 0

    assert "--alive-file=/tmp/alive" in container_of(name)["args"]
    assert not is_well()
    sign.touch()
    assert is_well()
    old = time.time() - 300
    os.utime(sign, (old, old))
    assert not is_well()


def test_an_evicted_worker_has_time_to_drain() -> None:
    drain = load_settings({}).fast_path.drain.total_seconds()
    grace = pod_of("moderate-worker")["terminationGracePeriodSeconds"]

    assert grace >= drain + 10


def test_keda_asks_a_table_that_there_is_for_workers_that_there_are() -> None:
    login, scaled = documents(OPTIONAL / "fast-path-scaled-object.yaml")
    (trigger,) = scaled["spec"]["triggers"]
    metadata = trigger["metadata"]
    sql = ROOT / "moderate" / "inbox" / "sql"
    schema = (sql / "migrations" / "0006_warm_runs.sql").read_text()

    assert {login["apiVersion"], scaled["apiVersion"]} == {"keda.sh/v1alpha1"}
    assert scaled["spec"]["scaleTargetRef"]["name"] in DEPLOYMENTS
    assert trigger["type"] == "postgresql"
    assert trigger["authenticationRef"]["name"] == login["metadata"]["name"]
    # KEDA takes text alone.
    assert all(isinstance(value, str) for value in metadata.values())
    assert "CREATE TABLE warm_run" in schema
    assert "FROM warm_run WHERE state <> 'over'" in metadata["query"]
    slots = load_settings({}).fast_path.slots
    assert metadata["targetQueryValue"] == str(slots)


def test_the_values_fit_the_charts_schema() -> None:
    path = SCHEMAS / "dagster.values.schema.json"
    if not path.exists():
        pytest.skip(f"the chart's schema is not at {SCHEMAS}")
    schema = without_required(json.loads(path.read_text()))
    schema.pop("$schema", None)

    faults = Draft202012Validator(schema).iter_errors(DAGSTER)

    assert [f"{list(each.path)}: {each.message}" for each in faults] == []


def test_dagster_takes_the_launchers() -> None:
    ours = validate_config(ByTagRunLauncher.config_type(), CUSTOM["config"])
    kubernetes: Any = K8sRunLauncher  # Its method has no types.
    other = validate_config(kubernetes.config_type(), OTHER["config"])

    assert DAGSTER["runLauncher"]["type"] == "CustomRunLauncher"
    assert CUSTOM["module"] == ByTagRunLauncher.__module__
    assert CUSTOM["class"] == ByTagRunLauncher.__name__
    assert ours.errors in (None, [])
    assert other.errors in (None, [])


def test_pods_of_runs_are_what_they_are_without_the_fast_path() -> None:
    """The chart writes this for `k8sRunLauncher`, but for that type alone."""
    stock = snake(STOCK["runLauncher"]["config"]["k8sRunLauncher"])
    security = STOCK["runLauncher"]["config"]["k8sRunLauncher"]
    pod = security["runK8sConfig"]["podSpecConfig"]["securityContext"]
    stock["security_context"] = security["securityContext"]
    stock["run_k8s_config"]["pod_spec_config"]["security_context"] = pod
    stock["labels"] = security["labels"]
    namespace = DEPLOYMENTS["moderate-worker"]["metadata"]["namespace"]

    assert OTHER["config"] == {
        **stock,
        "service_account_name": STOCK["global"]["serviceAccountName"],
        "job_namespace": namespace,
        "dagster_home": HOME,
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": STOCK["global"]["postgresqlSecretName"],
        "env_config_maps": ["dagster-pipeline-env"],
    }


def snake(value: Any) -> Any:
    """Return with the names that the launcher has."""
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name): snake(
            inner
        )
        for name, inner in value.items()
    }


@pytest.mark.parametrize("part", ["dagsterWebserver", "dagsterDaemon"])
def test_web_server_and_daemon_can_load_the_launcher(part: str) -> None:
    (code,) = STOCK["dagster-user-deployments"]["deployments"]
    values, stock = DAGSTER[part], STOCK[part]
    environment = environment_of(values)

    assert values["image"]["repository"] == code["image"]["repository"]
    assert values["envConfigMaps"] == stock["envConfigMaps"]
    # Helm replaces a list: what was in it must be there again.
    for each in stock["env"]:
        assert environment.pop(each["name"]) == each
    assert list(environment) == ["POSTGRES_PASSWORD"]
