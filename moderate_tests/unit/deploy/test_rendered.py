"""What the check of rendered charts finds.

The charts themselves are rendered where Helm and the network are: by
`task check:charts`, which a job of the workflow `Checks` runs.
"""

from copy import deepcopy
from typing import Any

import pytest
import yaml

from moderate_tests.unit.deploy.files import MANIFESTS, ROOT, documents, load
from moderate_tests.unit.deploy.machine import Machine
from scripts.check_manifests import faults

WORKER = documents(MANIFESTS / "optional" / "fast-path.yaml")[0]


def worker() -> tuple[dict[str, Any], Any]:
    """Return a manifest without a fault, and its pod to spoil."""
    manifest = deepcopy(WORKER)
    return manifest, manifest["spec"]["template"]["spec"]


def test_what_is_right_has_no_fault() -> None:
    assert list(faults(WORKER, restricted=True)) == []


def test_what_is_not_kubernetes_is_a_fault() -> None:
    manifest, pod = worker()
    pod["tolerance"] = 1

    (fault,) = faults(manifest)

    assert "tolerance" in fault


def test_a_map_that_a_template_wrote_as_text_is_a_fault() -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "instance"},
        "data": {"dagster.yaml": "region: map[env:S3_REGION]"},
    }

    assert list(faults(manifest)) == ["a map was written as text"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("runAsNonRoot", False),
        ("allowPrivilegeEscalation", None),
        ("capabilities", None),
        ("seccompProfile", {"type": "Unconfined"}),
    ],
)
def test_a_pod_that_its_namespace_would_refuse_is_a_fault(
    setting: str, value: object
) -> None:
    """Also when only a container that a chart adds is it."""
    manifest, pod = worker()
    own = deepcopy(pod["containers"][0])
    own["name"] = "first"
    own["securityContext"][setting] = value
    pod["initContainers"] = [own]

    found = list(faults(manifest, restricted=True))

    assert [each for each in found if each.startswith("first ")]
    assert not [each for each in found if each.startswith("worker ")]


def test_the_charts_are_those_that_are_installed(machine: Machine) -> None:
    machine.answer("helm template", yaml.safe_dump(WORKER))

    result = machine.task("check:charts")

    assert result.returncode == 0, result.stderr
    versions = load(ROOT / "Taskfile.yml")["vars"]
    asked = [line for line in machine.lines if "helm template" in line]
    wanted = [versions["DAGSTER_CHART_VERSION"]] * 3
    wanted += [versions["OPEN_METADATA_CHART_VERSION"]] * 2
    assert [line.split("--version ")[1].split()[0] for line in asked] == wanted


def test_a_chart_that_does_not_render_fails(machine: Machine) -> None:
    machine.answer("helm template", code=1)

    assert machine.task("check:charts").returncode != 0
