"""What the tests of this folder read."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from moderate.settings import GROUPS, is_secret

ROOT = Path(__file__).parents[3]
VALUES = ROOT / "helm-values"
MANIFESTS = VALUES / "manifests"
ENVIRONMENTS = ("local", "production")
CHARTS = ("dagster", "openmetadata")
# Secrets are named by their own setting; none is written down.
SECRET_WORDS = ("password", "secret", "token", "fernet", "privatekey")


def load(path: Path) -> Any:
    """Read a YAML file with one document."""
    return yaml.safe_load(path.read_text())


def documents(path: Path) -> list[dict[str, Any]]:
    """Read all documents of a YAML file."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def layered(below: Any, above: Any) -> Any:
    """Lay values over others as Helm does: maps merge, the rest replaces."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        return {**below} | {
            name: layered(below.get(name), value)
            for name, value in above.items()
        }
    return above


def values_of(chart: str, environment: str) -> Any:
    """Return a chart's values in an environment."""
    common = load(VALUES / chart / "values.yaml")
    own = load(VALUES / chart / f"values-{environment}.yaml")
    return layered(common, own)


def leaves(value: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield all scalars with their paths; places in lists are numbers."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, *path, str(name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, *path, str(place))
    else:
        yield path, value


def environment_file(path: Path) -> dict[str, str]:
    """Read a file of variables."""
    lines = path.read_text().splitlines()
    pairs = [
        line.split("=", 1) for line in lines if line and line[0] not in "#\n"
    ]
    return dict(pairs)


def settings_of(environment: str) -> dict[str, str]:
    """Return what the ConfigMap of an environment holds."""
    common = environment_file(MANIFESTS / "base" / "settings.env")
    return common | environment_file(MANIFESTS / environment / "settings.env")


def settings_variables() -> dict[str, bool]:
    """Map each variable of the service to whether it is a secret."""
    return {
        variable: is_secret(field)
        for group in GROUPS.values()
        for variable, field in group.variables().items()
    }


def run(
    *command: str,
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a program of the repository, to its end.

    Args:
        command: The program and its arguments.
        environment: All of its variables; by default the tests' own.
        timeout: Seconds that it may take.
    """
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
