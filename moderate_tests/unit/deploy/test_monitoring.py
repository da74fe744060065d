"""The dashboard and the alert rules ask for metrics that there are."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from moderate.kinds import all_kinds
from moderate.local import install
from moderate.settings import load_settings
from moderate.watch.prometheus import ServiceCollector
from moderate_tests.conftest import require
from moderate_tests.unit.deploy.files import MANIFESTS, documents

FOLDER = Path(__file__).parents[3] / "helm-values" / "monitoring"
RULES = FOLDER / "alert-rules.yaml"
TESTS = FOLDER / "alert-rules.test.yaml"
DASHBOARD = FOLDER / "grafana-dashboard.json"
SIDECAR = MANIFESTS / "optional" / "metrics.yaml"
METRIC = re.compile(r"\bmoderate_[a-z_]+")

# Metrics that are only told of an inbox that can be read.
OF_ITEMS = {
    "moderate_items",
    "moderate_schema_current",
    "moderate_seconds_since_tick",
    "moderate_oldest_due_seconds",
    "moderate_done_last_hour",
    "moderate_attempts_per_done",
}


@pytest.fixture(scope="module")
def exported() -> set[str]:
    settings = load_settings({})
    families = ServiceCollector(settings, all_kinds(settings)).collect()
    names = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in families
    }
    return names | OF_ITEMS


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_metric_that_is_asked_for_is_exported(
    exported: set[str],
) -> None:
    asked = expressions() + [rule["expr"] for rule in rules()]
    names = {name for text in asked for name in METRIC.findall(text)}
    assert names
    assert names <= exported


def test_every_metric_is_on_the_dashboard(exported: set[str]) -> None:
    shown = set(METRIC.findall(" ".join(expressions())))
    assert exported <= shown


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    for rule in rules():
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}


def test_panels_have_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_prometheus_takes_the_rules_and_they_alert_as_they_should() -> None:
    require(install.PROMTOOL)
    promtool = str(install.locate(install.PROMTOOL))
    for arguments in (
        ("check", "rules", str(RULES)),
        ("test", "rules", str(TESTS)),
    ):
        done = subprocess.run(
            [promtool, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_dashboard_s_expressions(
    tmp_path: Path,
) -> None:
    """As rules, since promtool 2 checks no bare expression."""
    require(install.PROMTOOL)
    file = tmp_path / "rules.yaml"
    recorded = [
        {"record": f"panel:{n}", "expr": text.replace("$flow", ".*")}
        for n, text in enumerate(expressions())
    ]
    groups = [{"name": "dashboard", "rules": recorded}]
    file.write_text(yaml.safe_dump({"groups": groups}))
    done = subprocess.run(
        [install.locate(install.PROMTOOL), "check", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_sidecar_s_manifests_fit_kubernetes_and_the_settings() -> None:
    deployment, service, policy = documents(SIDECAR)
    for each in (deployment, service, policy):
        kubernetes_validate.validate(each, "1.34", strict=True)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    port = load_settings({}).operations.metrics_port
    assert container["ports"][0]["containerPort"] == port
    assert service["spec"]["ports"][0]["port"] == port
    assert policy["spec"]["ingress"][0]["ports"][0]["port"] == port
    assert container["args"] == ["/opt/moderate/bin/moderate", "metrics"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
