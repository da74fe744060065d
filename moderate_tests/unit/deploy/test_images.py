"""What the Dockerfile and the scripts around it promise, without a build.

``moderate_tests/integration/workloads/test_images.py`` builds.
"""

import ast
import re
import shutil
import sys
from pathlib import Path

import pytest

from moderate_tests.unit.deploy.files import ROOT, run

DOCKERFILE = (ROOT / "Dockerfile").read_text()
DIGEST = "sha256:" + "0123456789abcdef" * 4
STAGES = dict(
    re.findall(
        r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)",
        DOCKERFILE,
        re.MULTILINE | re.DOTALL,
    )
)
TARGETS = ("matrix-profile", "platform-api", "worker")


def test_all_images_stand_on_one_base_which_the_builder_names() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert bases[0] == "${BASE}"
    assert set(bases[1:]) <= set(STAGES)
    assert re.search(r"^ARG BASE$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_numbered_user_that_is_not_root(
    target: str,
) -> None:
    """Kubernetes can't tell who a name is."""
    assert re.findall(r"^USER (.*)$", STAGES[target], re.MULTILINE) == [
        "10001:10001"
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_says_what_it_is(target: str) -> None:
    for label in ("title", "description", "revision", "version"):
        assert f"org.opencontainers.image.{label}=" in STAGES[target]


@pytest.mark.parametrize("target", ["platform-api", "worker"])
def test_an_image_that_serves_has_a_health_check(target: str) -> None:
    assert "HEALTHCHECK" in STAGES[target]


@pytest.mark.parametrize("target", TARGETS)
def test_no_build_tool_is_left_in_an_image(target: str) -> None:
    assert not re.search(r"\bpip\b|\buv\b|gcc|build-essential", STAGES[target])
    assert "FROM python AS " + target in DOCKERFILE


def test_packages_come_from_the_lock_file_with_their_hashes() -> None:
    installs = re.findall(r"uv pip install (?:[^&]|\\\n)*", DOCKERFILE)

    for install in installs:
        locked = "--constraint requirements.lock" in install
        assert ("--verify-hashes" in install) == locked
        assert locked or "--no-deps" in install


def test_the_images_use_the_installer_that_development_uses() -> None:
    found = re.search(r"UV_VERSION=(\S+)", DOCKERFILE)
    script = (ROOT / "scripts" / "task").read_text()

    assert found
    assert f'UV_VERSION="{found.group(1)}"' in script


def test_the_analysis_needs_nothing_of_dagster() -> None:
    result = run(
        "python3",
        "scripts/image_requirements.py",
        "matrix-profile",
        environment={"PATH": path()},
    )

    assert result.returncode == 0, result.stderr
    assert "numba" in result.stdout
    assert "dagster" not in result.stdout


def imported(package: Path) -> set[str]:
    """Return the top modules that a package's files import."""
    found = set()
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {each.name.split(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found


def test_the_analysis_image_has_all_that_the_analysis_imports() -> None:
    """What others bring along here is not there: it has no Dagster."""
    ours = imported(ROOT / "moderate" / "workloads" / "matrix_profile")
    result = run(
        "python3",
        "scripts/image_requirements.py",
        "matrix-profile",
        environment={"PATH": path()},
    )
    asked = set(re.findall(r"^\w+", result.stdout, re.MULTILINE))
    # boto3 brings these two; the third is for the type checker.
    brought = {"botocore", "urllib3", "mypy_boto3_s3"}

    assert ours - sys.stdlib_module_names - {"moderate"} <= asked | brought


def test_an_extra_that_does_not_exist_is_refused() -> None:
    result = run(
        "python3",
        "scripts/image_requirements.py",
        "wrong",
        environment={"PATH": path()},
    )

    assert result.returncode != 0
    assert "unknown: wrong" in result.stderr


def path() -> str:
    """Return where the tests' own Python is found."""
    return f"{ROOT / '.venv' / 'bin'}:/usr/bin:/bin"


@pytest.mark.parametrize(
    "tag", ["1.2.3", "v1.2.3", "1.2.3-rc.1", "0123abc", "sha-" + "0" * 40]
)
def test_a_version_or_a_commit_is_a_tag(tag: str) -> None:
    result = run("scripts/image-tag", tag)

    assert (result.returncode, result.stdout) == (0, f"{tag}\n")


@pytest.mark.parametrize(
    "tag", ["", "latest", "main", "1.2", "1", "v1", "1.2.3 latest", "x;ls"]
)
def test_what_moves_is_no_tag(tag: str) -> None:
    assert run("scripts/image-tag", tag).returncode != 0


def test_the_push_task_refuses_latest() -> None:
    task = shutil.which("task", path=path())
    assert task

    result = run(
        task, "images:push", environment={"PATH": path(), "VERSION": "latest"}
    )

    assert result.returncode != 0
    assert "refused" in result.stderr


def test_the_push_task_refuses_a_registry_that_nobody_named() -> None:
    task = shutil.which("task", path=path())
    assert task

    result = run(
        task, "images:push", environment={"PATH": path(), "VERSION": "1.2.3"}
    )

    assert result.returncode != 0
    assert "IMAGE_PREFIX" in result.stderr


def test_no_digest_is_made_up() -> None:
    """Each is a real one's form, or says that nobody asked yet."""
    for line in (ROOT / "images.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            _, _, digest = line.split()
            assert re.fullmatch(r"unfilled|sha256:[0-9a-f]{64}", digest)


def lock(folder: Path, answer: str) -> dict[str, str]:
    """Lay out a lock file, and a registry that answers like this."""
    (folder / "images.lock").write_text(
        "# said\nbase docker.io/library/debian:bookworm-slim unfilled\n"
    )
    stub = folder / "skopeo"
    stub.write_text(f"#!/bin/sh\n{answer}\n")
    stub.chmod(0o755)
    return {
        "PATH": f"{folder}:/usr/bin:/bin",
        "IMAGES_LOCK": str(folder / "images.lock"),
    }


def test_a_registry_fills_the_lock_file_in(tmp_path: Path) -> None:
    environment = lock(tmp_path, f"echo {DIGEST}")

    assert run(
        "scripts/lock-images", "--check", environment=environment
    ).returncode
    assert run("scripts/lock-images", environment=environment).returncode == 0
    assert (
        run(
            "scripts/lock-images", "--check", environment=environment
        ).returncode
        == 0
    )
    assert (tmp_path / "images.lock").read_text() == (
        f"# said\nbase docker.io/library/debian:bookworm-slim {DIGEST}\n"
    )
    base = run("scripts/lock-images", "--base", environment=environment)
    assert base.stdout == f"docker.io/library/debian@{DIGEST}\n"


def test_a_base_without_a_digest_is_none(tmp_path: Path) -> None:
    environment = lock(tmp_path, "exit 1")

    result = run("scripts/lock-images", "--base", environment=environment)

    assert result.returncode != 0
    assert result.stdout == ""
    assert "run scripts/lock-images" in result.stderr


@pytest.mark.parametrize("answer", ["exit 1", "echo nonsense"])
def test_a_registry_that_fails_changes_nothing(
    answer: str, tmp_path: Path
) -> None:
    environment = lock(tmp_path, answer)
    before = (tmp_path / "images.lock").read_text()

    result = run("scripts/lock-images", environment=environment)

    assert result.returncode != 0
    assert (tmp_path / "images.lock").read_text() == before
    assert {each.name for each in tmp_path.iterdir()} == {
        "images.lock",
        "skopeo",
    }
