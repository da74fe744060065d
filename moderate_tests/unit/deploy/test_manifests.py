import re
import shutil
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from moderate.settings import load_settings
from moderate_tests.unit.deploy.files import (
    ENVIRONMENTS,
    MANIFESTS,
    documents,
    run,
    settings_of,
    settings_variables,
)

VERSION = "1.34"
EXAMPLES = MANIFESTS / "secret-examples.yaml"
PLAIN = sorted(
    path
    for path in MANIFESTS.rglob("*.yaml")
    if path.name != "kustomization.yaml" and "optional" not in path.parts
)


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.name)
def test_manifests_fit_the_schemas_of_kubernetes(path: Path) -> None:
    for each in documents(path):
        kubernetes_validate.validate(each, VERSION, strict=True)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_renders_to_what_kubernetes_takes(
    environment: str,
) -> None:
    for each in rendered(environment):
        kubernetes_validate.validate(each, VERSION, strict=True)


def rendered(environment: str) -> list[dict[str, Any]]:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here: no kustomize")
    result = run(
        "kubectl",
        "kustomize",
        "--load-restrictor=LoadRestrictionsNone",
        str(MANIFESTS / environment),
    )
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def test_the_role_names_every_verb_and_no_more_than_it_needs() -> None:
    (role,) = documents(MANIFESTS / "base" / "role.yaml")
    rights = {
        resource: set(rule["verbs"])
        for rule in role["rules"]
        for resource in rule["resources"]
    }

    assert role["kind"] == "Role"
    assert not any("*" in str(rule) for rule in role["rules"])
    assert set(rights) == {
        "events",
        "jobs",
        "jobs/status",
        "pods",
        "pods/log",
        "pods/status",
        "secrets",
    }
    # Whoever gets hold of the account can't read Secrets through the API.
    assert not rights["secrets"] & {"get", "list", "watch"}
    assert "create" not in rights["pods"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_who_keeps_data_keys_in_the_cluster_may_read_them_alone(
    environment: str,
) -> None:
    role, binding = documents(MANIFESTS / "optional" / "data-keys.yaml")
    namespace = settings_of(environment)["DATA_KEYS_NAMESPACE"]

    for each in (role, binding):
        kubernetes_validate.validate(each, VERSION, strict=True)
        assert each["metadata"]["namespace"] == namespace
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": [load_settings({}).data_services.key_secret],
            "verbs": ["get"],
        }
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [each["name"] for each in binding["subjects"]] == ["moderate"]


def test_the_rights_go_to_our_account_alone() -> None:
    (binding,) = documents(MANIFESTS / "base" / "role-binding.yaml")
    accounts = documents(MANIFESTS / "base" / "service-accounts.yaml")

    assert [each["name"] for each in binding["subjects"]] == ["moderate"]
    assert [each["metadata"]["name"] for each in accounts] == [
        "moderate",
        "moderate-analysis",
    ]
    assert accounts[1]["automountServiceAccountToken"] is False


def example_secrets() -> dict[str, str]:
    (ours,) = [
        each["stringData"]
        for each in documents(EXAMPLES)
        if each["metadata"]["name"] == "dagster-secrets"
    ]
    return dict(ours)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_settings_and_secrets_together_are_right(environment: str) -> None:
    settings = settings_of(environment)
    secrets = example_secrets()
    if "OPEN_METADATA_HOST" not in settings:
        # It comes with the token: one without the other is a fault.
        del secrets["OPEN_METADATA_TOKEN"]

    load_settings(settings | secrets)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_secret_is_among_the_settings(environment: str) -> None:
    known = settings_variables()

    for name in settings_of(environment):
        assert known[name] is False, name


def test_the_example_secrets_are_settings_and_hold_no_secret() -> None:
    known = settings_variables()

    assert set(example_secrets()) <= set(known)
    for each in documents(EXAMPLES):
        for value in each["stringData"].values():
            words = set(re.findall(r"\w+", value))
            assert words <= {
                *("amqps", "example", "moderate", "org", "rabbitmq"),
                *("auth", "auths", "registry"),
            }


def test_every_pod_in_production_may_pull_from_a_private_registry() -> None:
    """Those that the charts make, runs and analyses: by their account."""
    accounts = {
        each["metadata"]["name"]: each
        for each in rendered("production")
        if each["kind"] == "ServiceAccount"
    }
    (login,) = [
        each["metadata"]["name"]
        for each in documents(EXAMPLES)
        if each["type"] == "kubernetes.io/dockerconfigjson"
    ]

    assert set(accounts) == {"moderate", "moderate-analysis"}
    for account in accounts.values():
        assert account["imagePullSecrets"] == [{"name": login}]


def test_the_scaled_object_is_of_one_kind_that_keda_knows() -> None:
    (scaled,) = documents(MANIFESTS / "optional" / "scaled-object.yaml")

    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert scaled["kind"] == "ScaledObject"
    assert scaled["spec"]["scaleTargetRef"]["name"]
    for trigger in scaled["spec"]["triggers"]:
        assert set(trigger) == {"type", "metadata"}
        # KEDA takes text alone.
        assert all(isinstance(v, str) for v in trigger["metadata"].values())


NAME_SERVICE = 53


@pytest.mark.parametrize(
    ("address", "port"),
    [
        # NodeLocal DNSCache: not a pod that a selector would find.
        ("169.254.20.10", NAME_SERVICE),
        ("10.96.0.10", NAME_SERVICE),
        ("fd00::10", NAME_SERVICE),
        ("192.0.2.1", 443),
        ("10.1.2.3", 80),
        ("2001:db8::1", 443),
    ],
)
def test_an_analysis_reaches_names_and_its_data(
    address: str, port: int
) -> None:
    assert analysis_may_reach(address, port)


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("169.254.169.254", 80),
        ("169.254.20.10", 80),
        ("168.63.129.16", 80),
        ("100.100.100.200", 80),
        ("fd00:ec2::254", 80),
        ("fd20:ce::254", 80),
        ("fe80::1", 80),
        ("192.0.2.1", 22),
    ],
)
def test_an_analysis_reaches_no_credentials_of_its_node(
    address: str, port: int
) -> None:
    assert not analysis_may_reach(address, port)


def analysis_may_reach(address: str, port: int) -> bool:
    """Return whether a peer outside of the cluster's pods may be called."""
    talks = documents(MANIFESTS / "base" / "network-policies.yaml")[1]
    return any(
        port in [each["port"] for each in rule["ports"]]
        and (
            "to" not in rule
            or any(
                is_in(address, peer["ipBlock"])
                for peer in rule["to"]
                if "ipBlock" in peer
            )
        )
        for rule in talks["spec"]["egress"]
    )


def is_in(address: str, block: dict[str, Any]) -> bool:
    """Return whether a block has an address; of the other kind it has none."""
    ours = ip_address(address)
    return ours in ip_network(block["cidr"]) and not any(
        ours in ip_network(each) for each in block.get("except", [])
    )
