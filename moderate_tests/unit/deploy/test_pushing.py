"""A tag says which code is in an image, and nothing else is pushed."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from moderate_tests.unit.deploy.files import ROOT
from moderate_tests.unit.deploy.machine import Machine

REGISTRY = "registry.example.org/moderate"
LOCAL = "localhost:5000/moderate"
CODE = "moderate/code.py"
SCRIPTS = ("build-images", "image-tag")


@dataclass(frozen=True)
class Repository:
    """A small one, with our scripts."""

    folder: Path
    machine: Machine

    def git(self, *arguments: str) -> str:
        """Run Git, as somebody."""
        somebody = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", *somebody, "-C", str(self.folder), *arguments],
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.machine.folder)},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def write(self, name: str, text: str = "") -> None:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def head(self) -> str:
        """The commit."""
        return self.git("rev-parse", "HEAD")

    @property
    def tag(self) -> str:
        """What images of it are called."""
        script = str(self.folder / "scripts" / "image-tag")
        done = self.machine.execute(script)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def push(
        self, prefix: str, version: str = "1.2.3"
    ) -> subprocess.CompletedProcess[str]:
        """Build and push one image, as far as a Docker that notes it does."""
        return self.machine.execute(
            str(self.folder / "scripts" / "build-images"),
            "--push",
            "worker",
            IMAGE_PREFIX=prefix,
            VERSION=version,
        )


@pytest.fixture
def repository(tmp_path: Path, machine: Machine) -> Repository:
    made = Repository(tmp_path / "repository", machine)
    for name in (*sources(), CODE):
        if name != "moderate":
            made.write(name)
    for name in SCRIPTS:
        shutil.copy(ROOT / "scripts" / name, made.folder / "scripts")
    made.git("init", "--quiet")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "One")
    return made


def sources() -> list[str]:
    """Return what the script takes images to be made from."""
    script = (ROOT / "scripts" / "image-tag").read_text()
    found = re.search(r"sources=\((.*?)\)", script, re.DOTALL)
    assert found
    return found[1].split()


def test_all_that_the_builder_gets_counts() -> None:
    ignored = (ROOT / ".dockerignore").read_text()
    given = set(re.findall(r"^!(\S+)$", ignored, re.MULTILINE))
    how = {".dockerignore", "Dockerfile", "images.lock"}

    assert set(sources()) == given | how


def test_committed_code_has_the_tag_of_its_commit(
    repository: Repository,
) -> None:
    repository.write("docs/page.md", "No image has this.")

    assert repository.tag == repository.head[:12]


def test_other_code_has_another_tag_and_the_same_the_same(
    repository: Repository,
) -> None:
    """A node has the image of the old one, and would not pull it again."""
    tags = [repository.tag]
    repository.write(CODE, "changed = 1")
    tags += [repository.tag, repository.tag]
    repository.write("moderate/new.py")
    tags.append(repository.tag)
    # Neither for the next commit nor for the tag does it matter.
    repository.git("add", CODE)
    tags.append(repository.tag)

    assert tags[1] == tags[2]
    assert tags[3] == tags[4]
    assert len(set(tags)) == 3
    assert repository.git("diff", "--cached", "--name-only") == CODE


@pytest.mark.parametrize("name", [CODE, "moderate/new.py", "Dockerfile"])
def test_what_is_not_committed_is_pushed_to_nobody(
    name: str, repository: Repository
) -> None:
    repository.write(name, "changed = 1")

    result = repository.push(REGISTRY)

    assert result.returncode != 0
    assert name in result.stderr
    assert repository.machine.lines == ["docker info"]


def test_this_machines_registry_takes_it_and_it_says_so(
    repository: Repository,
) -> None:
    repository.write(CODE, "changed = 1")

    result = repository.push(LOCAL)

    assert result.returncode == 0, result.stderr
    repository.machine.line("docker push", f"{LOCAL}/worker:1.2.3")
    build = repository.machine.line("docker build")
    assert f"image.revision={repository.head}-dirty" in build


def test_committed_code_is_pushed_with_its_commit(
    repository: Repository,
) -> None:
    result = repository.push(REGISTRY, f"sha-{repository.head}")

    assert result.returncode == 0, result.stderr
    repository.machine.line("docker push", f"{REGISTRY}/worker:sha-")
    build = repository.machine.line("docker build")
    assert f"image.revision={repository.head} " in build


def test_another_commit_is_no_tag_for_it(repository: Repository) -> None:
    result = repository.push(REGISTRY, "0123abc")

    assert result.returncode != 0
    assert repository.head in result.stderr
    assert repository.machine.lines == ["docker info"]


def test_a_registry_must_be_named(repository: Repository) -> None:
    """By default an image belongs to this machine."""
    result = repository.push("")

    assert result.returncode != 0
    assert "IMAGE_PREFIX" in result.stderr
    assert repository.machine.lines == ["docker info"]
