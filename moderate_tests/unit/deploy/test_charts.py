import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session
from botocore.validate import validate_parameters
from dagster._config import validate_config
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.storage.root import LocalArtifactStorage
from dagster_k8s.container_context import K8sContainerContext
from jsonschema import Draft202012Validator

from moderate.dagster_storage import MAX_OVERFLOW
from moderate_tests.unit.deploy.files import (
    CHARTS,
    ENVIRONMENTS,
    ROOT,
    SECRET_WORDS,
    VALUES,
    documents,
    leaves,
    load,
    settings_of,
    values_of,
)

SCHEMAS = Path(
    os.environ.get(
        "MODERATE_CHART_SCHEMAS", ROOT.parent / "shared/contract/helm"
    )
)
DAGSTER = values_of("dagster", "production")
LAUNCHER = DAGSTER["runLauncher"]["config"]["k8sRunLauncher"]
CODE = DAGSTER["dagster-user-deployments"]["deployments"][0]
LIFECYCLE = "PutBucketLifecycleConfiguration"
DAGSTER_HOME = "/opt/dagster/dagster_home"
"""As the chart and the image have it."""
WHERE_SECRETS_ARE = {
    "postgresqlSecretName",
    "rsaprivateKeyFilePath",
    "secretKey",
    "secretName",
    "secretRef",
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("chart", CHARTS)
def test_values_fit_the_charts_schema(chart: str, environment: str) -> None:
    path = SCHEMAS / f"{chart}.values.schema.json"
    if not path.exists():
        pytest.skip(f"the chart's schema is not at {SCHEMAS}")
    schema = without_required(json.loads(path.read_text()))
    schema.pop("$schema", None)
    validator = Draft202012Validator(schema)

    faults = validator.iter_errors(values_of(chart, environment))

    assert [f"{list(each.path)}: {each.message}" for each in faults] == []


def without_required(schema: Any) -> Any:
    """Helm fills what is required from the chart's own values first."""
    if isinstance(schema, list):
        return [without_required(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: without_required(value)
        for name, value in schema.items()
        if not (name == "required" and isinstance(value, list))
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("chart", CHARTS)
def test_no_secret_is_in_a_values_file(chart: str, environment: str) -> None:
    """A key that sounds like a secret holds nothing, or where it is kept."""
    for path, value in leaves(values_of(chart, environment)):
        holds = any(word in path[-1].lower() for word in SECRET_WORDS)
        where = path[-1] in WHERE_SECRETS_ARE
        if holds and not where and not isinstance(value, bool):
            assert value == "", path
    for file in (VALUES / chart).iterdir():
        assert not re.search(r"://[^/\s]*:[^/\s]*@", file.read_text())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("chart", CHARTS)
def test_an_environment_repeats_nothing(chart: str, environment: str) -> None:
    common = dict(leaves(load(VALUES / chart / "values.yaml")))
    own = leaves(load(VALUES / chart / f"values-{environment}.yaml"))

    assert [path for path, value in own if common.get(path) == value] == []


@pytest.mark.parametrize("chart", CHARTS)
def test_the_page_says_what_each_value_is_for(chart: str) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    told = page.split("### What each value is for")[1].split("\n### ")[0]
    values = load(VALUES / chart / "values.yaml")
    # These hold values of many parts, which the page names by themselves.
    within = ("dagsterDaemon", "dagsterWebserver", "openmetadata")
    names = set(values) - set(within)
    for name in within:
        names |= set(values.get(name, {}).get("config", values.get(name, {})))
    common = {"enabled", "image", "logLevel"}

    assert {name for name in names - common if name not in told} == set()


def test_the_charts_version_is_that_of_the_lock_file() -> None:
    """Web server and daemon must understand what the runs write."""
    lock = (ROOT / "requirements.lock").read_text()
    taskfile = load(ROOT / "Taskfile.yml")
    locked = re.search(r"^dagster==(\S+)", lock, re.MULTILINE)

    assert locked
    assert taskfile["vars"]["DAGSTER_CHART_VERSION"] == locked.group(1)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("chart", CHARTS)
def test_no_image_is_one_that_moves(chart: str, environment: str) -> None:
    for path, value in leaves(values_of(chart, environment)):
        if path[-1] == "tag":
            assert re.fullmatch(r"v?\d+(\.\d+)+", str(value)), path
        if path[-1] in {"pullPolicy", "imagePullPolicy"}:
            assert value == "IfNotPresent", path


# Reserved for examples, and the node itself.
NOBODYS = {"localhost", "registry.example.org"}


def test_no_default_is_an_image_that_a_stranger_could_own() -> None:
    """Who owned it would get all Secrets."""
    files = [
        *(path for path in VALUES.rglob("*") if path.is_file()),
        ROOT / "moderate" / "settings" / "analyses.py",
    ]
    ours = re.compile(r"([\w.:-]+)/moderate/(?:matrix-profile|worker)\b")
    found = {path: set(ours.findall(path.read_text())) for path in files}
    prefix = load(ROOT / "Taskfile.yml")["vars"]["IMAGE_PREFIX"]

    assert len([path for path in files if found[path]]) >= 5
    for path, registries in found.items():
        assert registries <= NOBODYS, path
    assert '"localhost/moderate"' in prefix


CONTAINERS = {
    "code server": CODE,
    "web server": DAGSTER["dagsterWebserver"],
    "daemon": DAGSTER["dagsterDaemon"],
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_passes_pod_security_restricted(name: str) -> None:
    values = CONTAINERS[name]

    assert_restricted(values["podSecurityContext"], values["securityContext"])
    assert_scratch(values)


def test_runs_pass_pod_security_restricted() -> None:
    """Launcher and code location together, as dagster_k8s merges them."""
    merged = run_context()

    pod = merged["pod_spec_config"]
    container = merged["container_config"]
    assert_restricted(
        camel(pod["security_context"]), camel(container["security_context"])
    )
    assert [each["name"] for each in pod["volumes"]] == ["tmp"]
    places = [each["mount_path"] for each in container["volume_mounts"]]
    assert places == ["/tmp", f"{DAGSTER_HOME}/storage"]
    assert container["resources"]["limits"] == {"memory": "2Gi"}
    assert merged["job_spec_config"]["ttl_seconds_after_finished"] > 0


def run_context() -> dict[str, Any]:
    """Return a run's configuration, from the chart's two sources.

    The names of the second are those that the chart's template writes.
    """
    launcher = context(
        {
            "security_context": LAUNCHER["securityContext"],
            "run_k8s_config": {
                "pod_spec_config": LAUNCHER["runK8sConfig"]["podSpecConfig"],
                "job_spec_config": LAUNCHER["runK8sConfig"]["jobSpecConfig"],
            },
        }
    )
    code = context(
        {
            "env_config_maps": [
                each["name"] for each in CODE["envConfigMaps"]
            ],
            "env_secrets": [each["name"] for each in CODE["envSecrets"]],
            "env": CODE["env"],
            "resources": CODE["resources"],
            "volume_mounts": CODE["volumeMounts"],
            "volumes": CODE["volumes"],
        }
    )
    both: dict[str, Any] = launcher.merge(code).run_k8s_config.to_dict()
    return both


def context(config: dict[str, Any]) -> Any:
    read: Any = K8sContainerContext.create_from_config
    return read({"k8s": config})


def camel(value: Any) -> Any:
    """Return with the names that Kubernetes has."""
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"_(\w)", lambda found: found[1].upper(), name): camel(inner)
        for name, inner in value.items()
    }


def test_nothing_is_said_twice_to_runs() -> None:
    """A volume that two sources name would be refused by Kubernetes."""
    twice = {"envConfigMaps", "envSecrets", "volumeMounts", "volumes"}

    assert CODE["includeConfigInLaunchedRuns"]["enabled"]
    assert not twice & set(LAUNCHER)


def assert_restricted(pod: Any, container: Any) -> None:
    assert pod["runAsNonRoot"]
    assert pod["runAsUser"] > 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["readOnlyRootFilesystem"]
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}


def assert_scratch(values: Any) -> None:
    """The root is read-only, and `forkserver` needs a place for its socket."""
    (volume,) = values["volumes"]
    mount = values["volumeMounts"][0]
    assert "emptyDir" in volume
    assert mount == {"name": volume["name"], "mountPath": "/tmp"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_dagster_finds_postgres_where_moderate_does(environment: str) -> None:
    """Each by the whole name: Dagster is in a namespace of its own."""
    host = values_of("dagster", environment)["postgresql"]["postgresqlHost"]

    assert host == settings_of(environment)["POSTGRES_HOST"]


def test_the_waiting_containers_image_is_named_once() -> None:
    """The chart puts registry and repository together."""
    image = DAGSTER["postgresql"]["image"]

    assert image["registry"] not in image["repository"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_log_manager_has_its_login_and_region_everywhere(
    name: str,
) -> None:
    """Its own `region` reaches no call to S3, and the chart writes it as text.

    Only these are written so that a variable may be named.
    """
    config = DAGSTER["computeLogManager"]["config"]["s3ComputeLogManager"]
    variables = {each["name"] for each in CONTAINERS[name]["env"]}
    named = {key for key, value in config.items() if isinstance(value, dict)}

    assert named == {"bucket", "endpointUrl"}
    assert variables >= {
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    }


def test_what_an_op_hands_on_is_kept_where_runs_can_write() -> None:
    """Dagster keeps it in its home unless a flow says otherwise."""
    kept = LocalArtifactStorage(DAGSTER_HOME).storage_dir

    assert kept in [each["mountPath"] for each in CODE["volumeMounts"]]


def test_dagster_takes_the_queues_configuration() -> None:
    coordinator = DAGSTER["dagsterDaemon"]["runCoordinator"]["config"][
        "customRunCoordinator"
    ]

    result = validate_config(
        QueuedRunCoordinator.config_type(), coordinator["config"]
    )

    assert result.errors in (None, [])
    assert coordinator["config"]["max_user_code_failure_retries"] > 0


def test_the_inbox_alone_decides_on_another_try() -> None:
    daemon = DAGSTER["dagsterDaemon"]

    assert daemon["runRetries"]["enabled"] is False
    assert daemon["runMonitoring"]["enabled"] is True
    assert daemon["runMonitoring"]["maxResumeRunAttempts"] == 0


def test_the_account_is_ours() -> None:
    """The chart's Role may do more, and nothing with Secrets."""
    assert DAGSTER["rbacEnabled"] is False
    assert DAGSTER["dagster-user-deployments"]["rbacEnabled"] is False
    assert DAGSTER["serviceAccount"]["create"] is False
    assert DAGSTER["global"]["serviceAccountName"] == "moderate"


def test_the_documented_lifecycle_is_for_compute_logs_alone() -> None:
    """Nobody tries the page's command out before it deletes what it names."""
    page = (ROOT / "docs" / "operations.md").read_text()
    (given,) = re.findall(r"--lifecycle-configuration '([^']*)'", page)
    lifecycle = json.loads(given)
    logs = DAGSTER["computeLogManager"]["config"]["s3ComputeLogManager"]
    call = get_session().get_service_model("s3").operation_model(LIFECYCLE)

    (rule,) = lifecycle["Rules"]

    assert call.input_shape
    # Raises if S3 would not know what it says.
    validate_parameters(
        {"Bucket": "logs", "LifecycleConfiguration": lifecycle},
        call.input_shape,
    )
    assert rule["Filter"] == {"Prefix": f"{logs['prefix']}/"}
    assert rule["Status"] == "Enabled"
    assert rule["Expiration"]["Days"] > 0


def test_the_webserver_opens_as_few_connections_as_the_page_says() -> None:
    """By itself it would be 63: three pools of one and twenty."""
    assert DAGSTER["dagsterWebserver"]["dbPoolMaxOverflow"] == MAX_OVERFLOW


PAGE = (ROOT / "docs" / "kubernetes.md").read_text()


def test_the_pages_commands_install_the_versions_of_the_tasks() -> None:
    versions = load(ROOT / "Taskfile.yml")["vars"]
    wanted = {
        "dagster/dagster": versions["DAGSTER_CHART_VERSION"],
        "open-metadata/openmetadata": versions["OPEN_METADATA_CHART_VERSION"],
    }
    commands = re.findall(
        r"helm upgrade --install \S+ (\S+) .*?--version (\S+) ",
        PAGE.replace("\\\n", ""),
    )

    assert dict(commands) == wanted


def test_open_metadata_is_installed_where_its_secrets_and_clients_are() -> (
    None
):
    host = settings_of("production")["OPEN_METADATA_HOST"]
    release, namespace, _ = host.split(".")
    secrets = {
        each["metadata"]["name"]: each["metadata"]["namespace"]
        for each in documents(VALUES / "manifests" / "secret-examples.yaml")
    }
    values = values_of("openmetadata", "production")["openmetadata"]["config"]
    own = {
        values["fernetkey"]["secretRef"],
        values["database"]["auth"]["password"]["secretRef"],
        "openmetadata-jwt-keys",
    }
    flat = " ".join(PAGE.replace("\\\n", "").split())

    assert {secrets[name] for name in own} == {namespace}
    assert f"kubectl create namespace {namespace} " in flat
    assert (
        f"--install {release} open-metadata/openmetadata"
        f" --namespace {namespace} "
    ) in flat
    for name, where in secrets.items():
        assert f"kubectl -n {where} create secret generic {name} " in flat
