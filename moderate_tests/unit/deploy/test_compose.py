import json
import re
from typing import Any

import pytest
from jsonschema import Draft7Validator

from moderate.local import docker
from moderate.local.realm import SECRET_NAMES
from moderate.local.realm_file import PREFIX
from moderate.local.services.in_docker import project_of
from moderate.local.stack import OWN_SECRETS, PORT_NAMES
from moderate.settings import load_settings
from moderate_tests.unit.deploy.files import (
    MANIFESTS,
    ROOT,
    documents,
    environment_file,
    load,
)

COMPOSE = ROOT / "compose"
SCHEMA = ROOT / "moderate_tests" / "unit" / "deploy" / "compose-spec.json"
FILE: dict[str, Any] = load(COMPOSE / "compose.yaml")
SERVICES: dict[str, Any] = FILE["services"]
# They end, and others wait for that.
ONE_SHOT = {"buckets", "open-metadata-migrate", "realm"}
# Its image brings the check along.
OWN_CHECK = {"platform-api"}


def test_the_file_follows_the_compose_specification() -> None:
    faults = Draft7Validator(json.loads(SCHEMA.read_text())).iter_errors(FILE)

    assert [fault.message for fault in faults] == []


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_image_is_pinned_to_a_version(name: str) -> None:
    image = SERVICES[name]["image"]

    assert re.search(r":v?\d+\.\d+|:compose$", image), image
    assert "latest" not in image


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT - OWN_CHECK))
def test_every_service_says_when_it_is_ready(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_who_needs_another_waits_until_it_is_ready(name: str) -> None:
    for need, how in SERVICES[name].get("depends_on", {}).items():
        wanted = (
            "service_completed_successfully"
            if need in ONE_SHOT
            else "service_healthy"
        )
        assert how["condition"] == wanted


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_open_to_this_machine_alone(name: str) -> None:
    ports = SERVICES[name].get("ports", [])

    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_volume_that_is_used_has_a_name() -> None:
    used = {
        re.sub(r"\$\{\w+:-(.*?)\}", r"\1", volume).partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }

    assert used == set(FILE["volumes"])


TEXT = (COMPOSE / "compose.yaml").read_text()
WANTED = set(re.findall(r"\$\{(\w+):\?", TEXT))
WITH_DEFAULT = set(re.findall(r"\$\{(\w+):-", TEXT))


def test_the_example_has_every_variable_that_is_wanted() -> None:
    assert set(environment_file(COMPOSE / ".env.example")) == WANTED


def test_the_local_stack_says_all_that_can_be_said() -> None:
    """Else it would take another's value, or that of compose/.env."""
    ports = dict.fromkeys(PORT_NAMES, 1)
    secrets = dict.fromkeys((*OWN_SECRETS, *SECRET_NAMES), "x")
    project = project_of(COMPOSE, ports, secrets)

    assert set(project.variables) == WANTED | WITH_DEFAULT
    assert set(docker.SERVICES) <= set(SERVICES)


def test_open_metadata_is_opt_in() -> None:
    named = {
        name for name, service in SERVICES.items() if "profiles" in service
    }

    assert named == {"open-metadata", "open-metadata-migrate", "opensearch"}


def test_the_realm_gets_all_its_secrets() -> None:
    given = set(SERVICES["realm"]["environment"])

    assert {PREFIX + name.upper() for name in SECRET_NAMES} <= given


def test_the_example_settings_are_right_and_fit_the_services() -> None:
    ours = environment_file(COMPOSE / "moderate.env.example")
    theirs = environment_file(COMPOSE / ".env.example")

    load_settings(ours)
    assert ours["POSTGRES_PASSWORD"] == theirs["POSTGRES_PASSWORD"]
    assert ours["S3_ACCESS_KEY_ID"] == theirs["S3_ACCESS_KEY_ID"]
    assert ours["S3_SECRET_ACCESS_KEY"] == theirs["S3_SECRET_ACCESS_KEY"]
    assert ours["API_PASSWORD"] == theirs["REALM_WORKFLOWS_PASSWORD"]
    assert theirs["RABBITMQ_PASSWORD"] in ours["RABBIT_URL"]


def test_search_asks_for_no_password_here_nor_on_the_local_cluster() -> None:
    """From 2.12 on it ends at once otherwise, whatever else switches it off.

    https://github.com/opensearch-project/security/issues/4062
    """
    (deployment,) = [
        each
        for each in documents(MANIFESTS / "local" / "platform.yaml")
        if (each["kind"], each["metadata"]["name"])
        == ("Deployment", "opensearch")
    ]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    on_cluster = {each["name"]: each["value"] for each in container["env"]}

    assert on_cluster == SERVICES["opensearch"]["environment"]
    assert on_cluster["DISABLE_SECURITY_PLUGIN"] == "true"
    assert container["image"] == SERVICES["opensearch"]["image"]
