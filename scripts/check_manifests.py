"""Hold manifests that a chart rendered against what a cluster takes.

``helm template … | python -m scripts.check_manifests [--restricted]`` reads
YAML, names every fault, and fails if there is one: a manifest that is not
Kubernetes', a value that a template wrote as text though it is a map, nothing
at all, and, if asked, a pod that Pod Security ``restricted`` refuses.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate
import yaml

VERSION = "1.34"
# How Go's templates write a map where the chart expected text.
MAP_AS_TEXT = "map["


def pod_specs(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield what is a pod's specification, at any depth."""
    if isinstance(value, Mapping):
        if isinstance(value.get("containers"), list):
            yield value
        for inner in value.values():
            yield from pod_specs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pod_specs(inner)


def refusals(pod: Mapping[str, Any]) -> Iterator[str]:
    """Yield why ``restricted`` would refuse a pod.

    Source: https://kubernetes.io/docs/concepts/security/pod-security-standards
    """
    whole = pod.get("securityContext") or {}
    for container in [*(pod.get("initContainers") or []), *pod["containers"]]:
        own = {**whole, **(container.get("securityContext") or {})}
        name = container["name"]
        if not own.get("runAsNonRoot"):
            yield f"{name} may run as root"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name} may gain privileges"
        if "ALL" not in (own.get("capabilities") or {}).get("drop", []):
            yield f"{name} keeps capabilities"
        seccomp = (own.get("seccompProfile") or {}).get("type")
        if seccomp not in {"Localhost", "RuntimeDefault"}:
            yield f"{name} has no seccomp profile"


def faults(
    manifest: Mapping[str, Any], *, restricted: bool = False
) -> Iterator[str]:
    """Yield what is wrong with one manifest.

    Args:
        manifest: It.
        restricted: Whether its namespace enforces Pod Security.
    """
    try:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield str(error.message)
    except kubernetes_validate.SchemaNotFoundError:
        # Somebody else's kind, such as a ServiceMonitor.
        pass
    if restricted:
        for pod in pod_specs(manifest.get("spec")):
            yield from refusals(pod)
    if MAP_AS_TEXT in yaml.safe_dump(manifest):
        yield "a map was written as text"


def main() -> int:
    """Print all faults; returns the exit code."""
    restricted = "--restricted" in sys.argv[1:]
    manifests = [each for each in yaml.safe_load_all(sys.stdin) if each]
    found = [
        f"{each['kind']} {each['metadata']['name']}: {fault}"
        for each in manifests
        for fault in faults(each, restricted=restricted)
    ]
    if not manifests:
        found = ["nothing was rendered"]
    sys.stderr.writelines(f"{each}\n" for each in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
