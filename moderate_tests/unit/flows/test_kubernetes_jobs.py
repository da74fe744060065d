"""What of ``dagster_k8s``' configuration an analysis' pod takes."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from dagster import OpExecutionContext, job, op
from dagster._core.test_utils import instance_for_test

from moderate.flows.kubernetes_jobs import CONFIG_TAG, configured_job, op_tags
from moderate.settings import load_settings

WORKERS = "worker-secrets"
KUBECONFIG = """apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: test, user: {}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
"""
TAG = {
    "container_config": {
        "resources": {"limits": {"memory": "9Gi"}},
        "env_from": [{"secret_ref": {"name": "extra"}}],
    },
    "pod_spec_config": {
        "node_selector": {"disk": "fast"},
        "tolerations": [{"key": "batch", "operator": "Exists"}],
    },
    "pod_template_spec_metadata": {"labels": {"team": "energy"}},
}


Config = dict[str, Any]


def job_with(
    folder: Path,
    environ: Mapping[str, str],
    tags: Mapping[str, str],
    wrapped: Callable[[Config], Config] = dict,
) -> Mapping[str, Any]:
    """Return the Job that an op with these tags gets."""
    settings = load_settings(environ)
    found: list[Mapping[str, Any]] = []

    @op(tags={**op_tags(settings), **tags})
    def look(context: OpExecutionContext) -> None:
        found.append(configured_job(context, settings))

    @job
    def one() -> None:
        look()

    path = folder / "kubeconfig"
    path.write_text(KUBECONFIG)
    launcher = {
        "module": "dagster_k8s",
        "class": "K8sRunLauncher",
        "config": {
            "dagster_home": "/opt/dagster",
            "env_secrets": [WORKERS],
            "image_pull_policy": "Always",
            "image_pull_secrets": [{"name": "of-the-worker"}],
            "instance_config_map": "instance",
            "kubeconfig_file": str(path),
            "labels": {"owner": "platform"},
            "load_incluster_config": False,
            "service_account_name": "worker",
            "volumes": [{"name": "v", "secret": {"secretName": WORKERS}}],
        },
    }
    overrides = {"run_launcher": wrapped(launcher)}
    with instance_for_test(overrides=overrides) as instance:
        one.execute_in_process(instance=instance)
    return found[0]


def by_tag(launcher: Config) -> Config:
    """Give warm workers some of the runs, as the fast path does."""
    return {
        "module": "moderate.fastpath.launcher",
        "class": "ByTagRunLauncher",
        "config": {"other": launcher},
    }


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(lambda launcher: launcher, id="plain"),
        pytest.param(by_tag, id="fast-path"),
    ],
)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Any]:
    environ = {
        "ANALYSIS_LAUNCHER": "kubernetes",
        "ANALYSIS_SERVICE_ACCOUNT": "no-rights",
        "ANALYSIS_REGISTRY_LOGIN_FROM": "registry, mirror",
    }
    folder = tmp_path_factory.mktemp("kube")
    tags = {CONFIG_TAG: json.dumps(TAG)}
    return job_with(folder, environ, tags, request.param)


def test_it_takes_how_images_are_pulled_and_labels(
    made: Mapping[str, Any],
) -> None:
    template = made["spec"]["template"]
    secrets = template["spec"]["imagePullSecrets"]
    names = {each["name"] for each in secrets}
    assert names == {"of-the-worker", "registry", "mirror"}
    (container,) = template["spec"]["containers"]
    assert container["imagePullPolicy"] == "Always"
    assert template["metadata"]["labels"]["owner"] == "platform"


def test_it_takes_nothing_of_the_workers_rights(
    made: Mapping[str, Any],
) -> None:
    """Its Secrets hold every peer's password."""
    assert WORKERS not in json.dumps(made)
    assert "DAGSTER_HOME" not in json.dumps(made)
    assert made["spec"]["template"]["spec"]["serviceAccountName"] == (
        "no-rights"
    )


def test_the_ops_own_tag_is_taken_as_it_is(made: Mapping[str, Any]) -> None:
    template = made["spec"]["template"]
    pod = template["spec"]
    (container,) = pod["containers"]
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert pod["tolerations"] == [{"key": "batch", "operator": "Exists"}]
    assert container["resources"]["limits"]["memory"] == "9Gi"
    assert container["envFrom"] == [{"secretRef": {"name": "extra"}}]
    assert template["metadata"]["labels"]["team"] == "energy"


def test_the_tag_can_be_given_as_a_setting(tmp_path: Path) -> None:
    environ = {
        "ANALYSIS_LAUNCHER": "kubernetes",
        "ANALYSIS_K8S_CONFIG": json.dumps(TAG),
    }
    made = job_with(tmp_path, environ, {})
    pod = made["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"disk": "fast"}


def test_processes_need_none_of_it(tmp_path: Path) -> None:
    environ = {"ANALYSIS_LAUNCHER": "process"}
    assert job_with(tmp_path, environ, {}) == {}
