"""The tasks themselves: what each refuses, and says when it does."""

from typing import Any

import pytest

from moderate_tests.unit.deploy.files import ROOT, load
from moderate_tests.unit.deploy.machine import PROFILE, Machine

TASKS: dict[str, Any] = load(ROOT / "Taskfile.yml")["tasks"]
NEEDS = {
    "start-dev-k8s": ("minikube", "kubectl", "helm"),
    "forward-k8s-dagster-ui": ("minikube", "kubectl"),
    "forward-k8s-open-metadata-ui": ("minikube", "kubectl"),
    "update-k8s-open-metadata-token": ("minikube", "kubectl"),
    "force-restart-k8s-dagster": ("minikube", "kubectl"),
}
LACKS = [(task, tool) for task, tools in NEEDS.items() for tool in tools]


@pytest.mark.parametrize("name", TASKS)
def test_every_task_says_what_it_does(name: str) -> None:
    assert TASKS[name]["desc"]


@pytest.mark.parametrize("name", TASKS)
def test_every_precondition_says_what_to_do(name: str) -> None:
    for each in TASKS[name].get("preconditions", []):
        assert each["msg"]


@pytest.mark.parametrize(("task", "tool"), LACKS)
def test_a_missing_tool_is_named_before_anything_is_done(
    task: str, tool: str, machine: Machine
) -> None:
    (machine.folder / tool).unlink()

    # Without the system's programs, of which it may be one.
    alone = {"PATH": str(machine.folder), "OPEN_METADATA_TOKEN": "x"}
    result = machine.task(task, **alone)

    assert result.returncode != 0
    assert f"{tool} is missing: https://" in result.stderr
    assert machine.calls == []


def test_a_docker_that_does_not_answer_is_named(machine: Machine) -> None:
    """A client without an engine is none."""
    machine.answer("docker info", code=1)

    result = machine.task("start-dev-k8s")

    assert result.returncode != 0
    assert "no Docker answers" in result.stderr
    assert machine.lines == ["docker info"]


def test_images_without_a_pinned_base_are_not_built(machine: Machine) -> None:
    lock = machine.folder / "images.lock"
    lock.write_text("base docker.io/library/debian:bookworm-slim unfilled\n")

    result = machine.task("start-dev-k8s", IMAGES_LOCK=str(lock))

    assert result.returncode != 0
    assert "images:lock" in result.stderr
    assert machine.lines == ["docker info"]


def test_without_a_token_there_is_none_to_give(machine: Machine) -> None:
    result = machine.task("update-k8s-open-metadata-token")

    assert result.returncode != 0
    assert "OPEN_METADATA_TOKEN" in result.stderr
    assert machine.calls == []


def test_the_token_reaches_the_script_and_no_output(machine: Machine) -> None:
    result = machine.task(
        "update-k8s-open-metadata-token", OPEN_METADATA_TOKEN="a.canary"
    )

    assert result.returncode == 0, result.stderr
    (patch,) = [call for call in machine.calls if call["stdin"]]
    assert "a.canary" in patch["stdin"]
    assert "a.canary" not in result.stdout + result.stderr


def test_nothing_is_deleted_that_nobody_agreed_to(machine: Machine) -> None:
    machine.local.mkdir()

    result = machine.task("clean")

    assert result.returncode != 0
    assert machine.local.exists()
    assert machine.calls == []


def test_who_agrees_has_all_deleted_and_may_again(machine: Machine) -> None:
    machine.answer("docker info", code=1)
    (machine.local / "logs").mkdir(parents=True)

    for _ in range(2):
        result = machine.task("clean", "--yes")
        assert result.returncode == 0, result.stderr
        assert not machine.local.exists()

    deleted = f"minikube --profile {PROFILE} delete"
    assert machine.lines.count(deleted) == 2
