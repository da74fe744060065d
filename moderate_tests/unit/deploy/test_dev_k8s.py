"""The local cluster's script, against programs that note how they are called.

The stubs stand in for minikube, kubectl, helm and docker: what is tested is
which calls the script makes, in which order, and on which cluster.
"""

import base64
import json
from typing import Any

import pytest

from moderate_tests.unit.deploy.machine import (
    FORWARDING,
    PROFILE,
    REGISTRY,
    Machine,
)
from scripts.dev_k8s_secrets import There, lacking, read_there

TOKEN = "ey-the.bots.token_"
CHANGING = (
    "update-token",
    "restart",
    "forward-dagster",
    "forward-open-metadata",
)


@pytest.mark.parametrize("command", CHANGING)
def test_another_context_is_refused(command: str, machine: Machine) -> None:
    machine.answer("config current-context", "production")

    result = machine.run(command, OPEN_METADATA_TOKEN=TOKEN)

    assert result.returncode != 0
    assert "production" in result.stderr
    assert not [line for line in machine.lines if "--namespace" in line]


@pytest.mark.parametrize("command", CHANGING)
def test_a_context_that_only_has_the_name_is_refused(
    command: str, machine: Machine
) -> None:
    machine.answer("config view", "https://k8s.example.org:6443")

    result = machine.run(command, OPEN_METADATA_TOKEN=TOKEN)

    assert result.returncode != 0
    assert "k8s.example.org" in result.stderr
    assert not [line for line in machine.lines if "--namespace" in line]


def test_the_token_is_on_no_command_line_and_in_no_file(
    machine: Machine,
) -> None:
    result = machine.run("update-token", OPEN_METADATA_TOKEN=TOKEN)

    assert result.returncode == 0, result.stderr
    assert not [line for line in machine.lines if TOKEN in line]
    assert TOKEN not in result.stdout + result.stderr
    (patch,) = [call for call in machine.calls if call["stdin"]]
    assert json.loads(patch["stdin"])["stringData"] == {
        "OPEN_METADATA_HOST": "openmetadata.moderate-platform",
        "OPEN_METADATA_TOKEN": TOKEN,
    }
    # Nor do the programs that are called inherit it.
    assert not [
        call for call in machine.calls if TOKEN in json.dumps(call["env"])
    ]
    left = [
        path
        for path in machine.folder.rglob("*")
        if path.is_file() and path.name != "calls"
    ]
    assert not [path for path in left if TOKEN in path.read_text()]


@pytest.mark.parametrize("token", ["", 'x","y', "a b", "$(id)"])
def test_what_is_no_token_is_refused(token: str, machine: Machine) -> None:
    result = machine.run("update-token", OPEN_METADATA_TOKEN=token)

    assert result.returncode != 0
    assert "OPEN_METADATA_TOKEN" in result.stderr
    assert machine.calls == []


def test_dagster_takes_the_new_token_at_once(machine: Machine) -> None:
    machine.run("update-token", OPEN_METADATA_TOKEN=TOKEN)

    patch = machine.lines.index(machine.line("patch secret"))
    restart = machine.lines.index(machine.line("rollout restart"))
    assert patch < restart < machine.lines.index(machine.line("status"))


def test_every_call_names_the_local_cluster(machine: Machine) -> None:
    result = machine.run("start")

    assert result.returncode == 0, result.stderr
    for line in machine.lines:
        program = line.split()[0]
        if program == "kubectl" and " config " not in line:
            assert f"--context {PROFILE}" in line
        if program == "helm":
            assert f"--kube-context {PROFILE}" in line
        if program == "minikube":
            assert f"--profile {PROFILE}" in line


def test_the_start_goes_from_images_to_services_to_charts(
    machine: Machine,
) -> None:
    result = machine.run("start")

    assert result.returncode == 0, result.stderr
    lines = machine.lines
    steps = [
        ("docker push", "localhost:5000/moderate/worker:1.2.3"),
        ("namespace.yaml",),
        ("create --filename -",),
        ("apply --filename -",),
        ("wait", "deployment", "moderate-platform"),
        ("upgrade --install openmetadata", "--version 1.13.1", "--wait"),
        ("upgrade --install dagster", "--version 1.13.27", "--wait"),
        ("exec", "moderate inbox migrate"),
    ]
    places = [lines.index(machine.line(*step)) for step in steps]
    assert places == sorted(places)
    assert "image.tag=1.2.3" in machine.line("--install dagster")
    assert "http://10.0.0.5:8585/callback" in machine.line(
        "--install openmetadata"
    )


def test_made_up_secrets_agree_and_come_through_a_pipe(
    machine: Machine,
) -> None:
    machine.run("start")

    assert_secrets_agree(made_secrets(machine))


def made_secrets(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return the Secrets that the last start made, by name."""
    created = [
        call for call in machine.calls if "create --filename -" in call["line"]
    ]
    return by_name(json.loads(created[-1]["stdin"])["items"])


def by_name(secrets: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in secrets}


def assert_secrets_agree(secrets: dict[str, Any]) -> None:
    items = {name: each["stringData"] for name, each in secrets.items()}
    ours, platform = items["dagster-secrets"], items["moderate-platform"]
    assert ours["POSTGRES_PASSWORD"] == platform["postgres-password"]
    assert ours["S3_ACCESS_KEY_ID"] == platform["s3-access-key-id"]
    assert ours["S3_SECRET_ACCESS_KEY"] == platform["s3-secret-access-key"]
    assert (
        ours["KEYCLOAK_ADMIN_PASSWORD"] == platform["keycloak-admin-password"]
    )
    for url in (ours["RABBIT_URL"], platform["rabbit-url"]):
        assert f":{platform['rabbitmq-password']}@" in url
    realm = items["moderate-realm"]
    assert ours["API_PASSWORD"] == realm["REALM_WORKFLOWS_PASSWORD"]
    assert platform["realm-client-secret"] == realm["REALM_CLIENT_SECRET"]
    assert realm["OPEN_METADATA_ADMIN"] == "admin@moderate.local"
    passwords = {
        items["moderate-dagster-postgres"]["postgresql-password"]: "dagster",
        items["moderate-open-metadata"]["postgres-password"]: "open-metadata",
    }
    for password, name in passwords.items():
        assert platform[f"{name}-postgres-password"] == password


def listed(secrets: dict[str, Any]) -> str:
    """Return what kubectl says of a cluster that has these."""
    items = [
        {
            **{key: each[key] for key in each if key != "stringData"},
            "data": each["data"]
            | {
                key: base64.b64encode(value.encode()).decode()
                for key, value in each["stringData"].items()
            },
        }
        for each in secrets.values()
    ]
    return json.dumps({"items": items})


SECRETS = (
    "moderate-platform",
    "moderate-realm",
    "moderate-open-metadata",
    "openmetadata-jwt-keys",
    "moderate-dagster-postgres",
    "dagster-secrets",
)


@pytest.mark.parametrize("missing", SECRETS)
def test_a_missing_secret_is_made_to_fit_the_others(missing: str) -> None:
    """A start that was interrupted left the rest, and services use it."""
    secrets = by_name(lacking("http://url", There({})))
    assert set(secrets) == set(SECRETS)
    del secrets[missing]

    made = by_name(lacking("http://url", read_there(listed(secrets))))

    assert set(made) == {missing}
    assert_secrets_agree(secrets | made)


def test_an_interrupted_start_makes_the_rest_of_the_secrets(
    machine: Machine,
) -> None:
    machine.run("start")
    secrets = made_secrets(machine)
    first = {"moderate-platform": secrets["moderate-platform"]}
    machine.answer("get secrets", listed(first))

    result = machine.run("start")

    assert result.returncode == 0, result.stderr
    made = made_secrets(machine)
    assert set(made) == set(SECRETS) - set(first)
    assert_secrets_agree(first | made)


def test_a_second_start_keeps_cluster_and_secrets(machine: Machine) -> None:
    machine.run("start")
    machine.answer("get secrets", listed(made_secrets(machine)))
    once = len(machine.lines)

    result = machine.run("start")

    assert result.returncode == 0, result.stderr
    again = machine.lines[once:]
    assert again
    assert not [line for line in again if " start " in line]
    assert not [line for line in again if "create" in line]


def test_a_cluster_that_does_not_say_what_it_has_is_given_nothing(
    machine: Machine,
) -> None:
    machine.answer("get secrets", code=1)

    result = machine.run("start")

    assert result.returncode != 0
    assert not [line for line in machine.lines if "create" in line]


def test_nothing_is_pushed_to_another_that_has_the_registrys_port(
    machine: Machine,
) -> None:
    machine.answer("curl")

    result = machine.run("start")

    assert result.returncode != 0
    assert "localhost:5000" in result.stderr
    assert not [line for line in machine.lines if "push" in line]


def test_nothing_is_pushed_when_the_forwarding_ends(machine: Machine) -> None:
    machine.answer(FORWARDING, code=1)
    machine.answer(REGISTRY, code=7)

    result = machine.run("start")

    assert result.returncode != 0
    assert "localhost:5000" in result.stderr
    assert not [line for line in machine.lines if "push" in line]


def test_pushing_waits_until_the_registry_answers(machine: Machine) -> None:
    machine.run("start")

    asked = machine.lines.index(machine.line("curl", REGISTRY))
    pushed = [line for line in machine.lines if "docker push" in line]
    assert asked < machine.lines.index(pushed[0])


def test_other_settings_are_other_pods(machine: Machine) -> None:
    """They read them when they start, and the tag may be the same."""
    parts = (
        "dagster-user-deployments.deployments[0]",
        "dagsterDaemon",
        "dagsterWebserver",
    )

    def marks() -> list[str]:
        (*_, line) = [
            line for line in machine.lines if "--install dagster" in line
        ]
        return [
            line.split(f"{part}.annotations.moderate-settings=")[1].split()[0]
            for part in parts
        ]

    seen = []
    for settings in ('{"A":"1"}', '{"A":"2"}'):
        machine.answer("get configmap moderate-settings", settings)
        machine.run("start")
        seen.append(marks())

    assert all(seen[0])
    assert not set(seen[0]) & set(seen[1])


def test_a_tag_that_moves_is_refused_before_anything_is_done(
    machine: Machine,
) -> None:
    result = machine.run("start", IMAGE_TAG="latest")

    assert result.returncode != 0
    assert machine.calls == []


def test_a_missing_tool_is_named(machine: Machine) -> None:
    (machine.folder / "helm").unlink()

    result = machine.run("start")

    assert result.returncode != 0
    assert "helm is missing" in result.stderr
    assert machine.calls == []


@pytest.mark.parametrize("command", ["update-token", "restart"])
def test_what_is_done_twice_is_done_the_same(
    command: str, machine: Machine
) -> None:
    machine.run(command, OPEN_METADATA_TOKEN=TOKEN)
    once = machine.lines

    result = machine.run(command, OPEN_METADATA_TOKEN=TOKEN)

    assert result.returncode == 0, result.stderr
    assert machine.lines == once * 2


def test_forwarding_goes_to_the_ports_that_the_pages_name(
    machine: Machine,
) -> None:
    machine.run("forward-dagster")
    told = machine.run("forward-open-metadata")

    machine.line("port-forward", "dagster-webserver", "8181:8080")
    machine.line("port-forward", "0.0.0.0", "openmetadata", "8585:8585")
    assert "http://10.0.0.5:8585" in told.stderr


def test_a_cluster_that_does_not_run_is_not_started_by_the_way(
    machine: Machine,
) -> None:
    machine.answer(f"--profile {PROFILE} ip", code=85)

    result = machine.run("restart")

    assert result.returncode != 0
    assert "start-dev-k8s" in result.stderr
    assert not [line for line in machine.lines if " start" in line]


def test_deleting_names_the_one_profile(machine: Machine) -> None:
    result = machine.run("delete")

    assert result.returncode == 0, result.stderr
    assert machine.lines == [f"minikube --profile {PROFILE} delete"]


def test_without_minikube_there_is_nothing_to_delete(
    machine: Machine,
) -> None:
    (machine.folder / "minikube").unlink()

    result = machine.run("delete")

    assert result.returncode == 0, result.stderr
    assert machine.calls == []
