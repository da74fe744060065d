import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from moderate_tests.unit.deploy.files import ROOT, load, run

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
IMAGES = ROOT / ".github" / "workflows" / "images.yml"
NIGHTLY = ROOT / ".github" / "workflows" / "nightly.yml"
MINUTES = 60
NIGHTLY_MINUTES = 150
"""All tests, one after the other; nobody waits for them."""


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    """A tag can be moved to other code; the comment says which one it was."""
    for line in path.read_text().splitlines():
        if "uses:" in line:
            assert re.search(
                r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line
            ), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_do_nothing_unless_its_job_says_so(path: Path) -> None:
    workflow = load(path)

    assert workflow["permissions"] == {"contents": "read"}
    most = NIGHTLY_MINUTES if path == NIGHTLY else MINUTES
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= most


def test_every_folder_of_tests_is_run_whole_each_night() -> None:
    job = load(NIGHTLY)["jobs"]["full"]
    run = [
        folder
        for shard in job["strategy"]["matrix"]["folders"]
        for folder in shard.split()
    ]
    tests = ROOT / "moderate_tests"

    assert job["steps"][-1]["run"].startswith("./scripts/task test:full -- ")
    assert sorted(run) == sorted(
        {
            f"{tests.name}/{path.relative_to(tests).parts[0]}"
            for path in tests.rglob("test_*.py")
        }
    )


def test_packages_are_held_against_advisories_each_night() -> None:
    job = load(NIGHTLY)["jobs"]["audit"]
    audit = load(ROOT / "Taskfile.yml")["tasks"]["audit"]["cmds"]

    assert job["steps"][-1]["run"] == "./scripts/task audit"
    assert "--strict" in " ".join(audit)


def test_all_workflows_are_linted() -> None:
    lint = load(ROOT / "Taskfile.yml")["tasks"]["check:workflows"]["cmds"]

    for path in WORKFLOWS:
        assert str(path.relative_to(ROOT)) in lint[-1]


def steps(action: str) -> list[dict[str, Any]]:
    return [
        step
        for job in load(IMAGES)["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith(action)
    ]


def test_images_carry_provenance_and_a_bill_of_materials() -> None:
    (build,) = steps("docker/build-push-action@")

    assert build["with"]["provenance"] == "mode=max"
    assert build["with"]["sbom"] is True


def test_images_are_tagged_with_commit_and_version_never_latest() -> None:
    (meta,) = steps("docker/metadata-action@")

    assert meta["with"]["flavor"] == "latest=false"
    assert meta["with"]["tags"].split() == [
        "type=sha,format=long",
        "type=semver,pattern={{version}}",
    ]


@pytest.mark.full
def test_actionlint_finds_nothing() -> None:
    go = shutil.which("go")
    task = ROOT / ".venv" / "bin" / "task"
    if not go:
        pytest.skip("Go is not here")

    result = run(str(task), "check:workflows", timeout=280)

    assert result.returncode == 0, result.stdout + result.stderr
