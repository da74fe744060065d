"""The machine that the local cluster's script and tasks are run on."""

from pathlib import Path

import pytest

from moderate_tests.unit.deploy.machine import (
    ADDRESS,
    FORWARDING,
    LONG,
    PROFILE,
    REGISTRY,
    STUB,
    Machine,
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name in ("minikube", "kubectl", "helm", "docker", "curl"):
        (tmp_path / name).write_text(STUB)
        (tmp_path / name).chmod(0o755)
    machine = Machine(tmp_path)
    machine.answer("config current-context", PROFILE)
    machine.answer("config view", f"https://{ADDRESS}:8443")
    machine.answer(f"--profile {PROFILE} ip", ADDRESS)
    machine.answer("get secrets", '{"items": []}')
    machine.answer(FORWARDING, seconds=LONG)
    machine.answer(REGISTRY)
    # curl's word for a port where nobody listens.
    machine.answer("curl", code=7)
    return machine
