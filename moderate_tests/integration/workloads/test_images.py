"""The images, really built, and run as a cluster would run them.

Minutes, gigabytes and root: where one is lacking they are skipped. They are
built by buildah into ``IMAGE_STORE`` and stay there, so that the next time
only what has changed is built.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from moderate.local.services.s3 import S3
from moderate_tests.integration.workloads.conftest import FileServer
from moderate_tests.unit.workloads.samples import (
    ENVIRONMENT,
    csv_of,
    power,
)

ROOT = Path(__file__).parents[3]
BUCKET = "moderate-output-bucket"
STORE = os.environ.get("IMAGE_STORE", "/var/tmp/moderate-images")
VERSION = "0.0.0-test"
USER = "10001"
PYTHON = "/opt/moderate/bin/python"
BUILD_SECONDS = 3000.0
RUN_SECONDS = 300.0
# A mount namespace of its own: the root read-only, /tmp writable, the user
# not root, with no right left and no way to get one.
SANDBOX = """
set -eu
root="$1"; shift
mount --bind "$root" "$root"
mount -t tmpfs -o size=2g,mode=1777 tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
exec chroot "$root" /usr/bin/setpriv --reuid=10001 --regid=10001 \
  --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(BUILD_SECONDS + RUN_SECONDS),
    pytest.mark.skipif(os.geteuid() != 0, reason="buildah needs root here"),
    pytest.mark.skipif(
        not (shutil.which("buildah") and shutil.which("debootstrap")),
        reason="apt-get install buildah debootstrap",
    ),
]


def buildah(*arguments: str) -> str:
    """Run buildah on the images' store; returns what it prints."""
    done = subprocess.run(
        [
            *("buildah", "--root", f"{STORE}/storage"),
            *("--runroot", f"{STORE}/run", *arguments),
        ],
        env={**os.environ, "STORAGE_DRIVER": "vfs"},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Image:
    """An image whose files are mounted.

    Attributes:
        root: Where.
        config: What the image says of itself.
    """

    root: Path
    config: Mapping[str, Any]

    def run(
        self, *command: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as a cluster would."""
        own = dict(line.split("=", 1) for line in self.config["Env"])
        return subprocess.run(
            [
                *("unshare", "--mount", "--propagation", "private"),
                *("sh", "-c", SANDBOX, "sandbox", str(self.root), *command),
            ],
            env=own | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )


def opened(target: str) -> Iterator[Image]:
    """Build and mount an image."""
    built = subprocess.run(
        [ROOT / "scripts" / "build-images", target],
        env={
            **os.environ,
            "ENGINE": "buildah",
            "IMAGE_STORE": STORE,
            "VERSION": VERSION,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    assert built.returncode == 0, built.stderr
    image = f"localhost/moderate/{target}:{VERSION}"
    inspected = json.loads(buildah("inspect", "--type", "image", image))
    container = buildah("from", "--pull-never", image)
    try:
        root = Path(buildah("mount", container))
        yield Image(root, inspected["Docker"]["config"])
    finally:
        buildah("rm", container)


@pytest.fixture(scope="module")
def analysis() -> Iterator[Image]:
    yield from opened("matrix-profile")


@pytest.fixture(scope="module")
def worker() -> Iterator[Image]:
    yield from opened("worker")


@pytest.mark.services
def test_the_analysis_runs_as_nobody_on_a_root_that_is_read_only(
    analysis: Image, file_server: FileServer, s3: S3
) -> None:
    file_server.files["data.csv"] = csv_of(power(2_000))
    store = s3.client_environment()
    environment = ENVIRONMENT | {
        "FILE_URL": file_server.url("data.csv"),
        "OUTPUT_BUCKET": BUCKET,
        "OUTPUT_KEY": "from-the-image.html",
        "S3_ENDPOINT_URL": store["S3_ENDPOINT_URL"],
        "S3_REGION": store["S3_REGION"],
        "S3_ACCESS_KEY_ID": store["S3_ACCESS_KEY_ID"],
        "S3_SECRET_ACCESS_KEY": store["S3_SECRET_ACCESS_KEY"],
    }

    ended = analysis.run(*analysis.config["Cmd"], **environment)

    assert ended.returncode == os.EX_OK, ended.stderr
    stored = s3.client().get_object(Bucket=BUCKET, Key="from-the-image.html")
    assert stored["Body"].read().startswith(b"<!doctype html>")


def test_the_sandbox_is_what_it_claims(analysis: Image) -> None:
    """Else the test above would show nothing."""
    ended = analysis.run(
        *("sh", "-c", "id -u; touch /opt/x; touch /tmp/x && echo scratch"),
    )

    assert ended.stdout.split() == [USER, "scratch"]
    assert "Read-only file system" in ended.stderr


def test_the_analysis_finds_its_kernel_compiled(analysis: Image) -> None:
    """Nothing is compiled, and so nothing is added to the copied cache."""
    code = (
        "import os, glob;"
        "from moderate.workloads.matrix_profile.warm_cache import"
        " copy_warm_cache;"
        "copy_warm_cache();"
        "import moderate.workloads.matrix_profile.kernel as kernel;"
        "print(sum(kernel.scan.stats.cache_hits.values()),"
        " sum(kernel.scan.stats.cache_misses.values()))"
    )

    ended = analysis.run(PYTHON, "-c", code)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["1", "0"]


@pytest.mark.parametrize("name", ["analysis", "worker"])
def test_an_image_has_a_user_labels_and_bytecode_but_no_tools(
    name: str, request: pytest.FixtureRequest
) -> None:
    image: Image = request.getfixturevalue(name)

    assert image.config["User"] == f"{USER}:{USER}"
    assert (
        image.config["Labels"]["org.opencontainers.image.version"] == VERSION
    )
    for tool in ("gcc", "cc", "make", "pip", "pip3", "uv"):
        for folder in ("usr/bin", "usr/local/bin", "opt/moderate/bin"):
            assert not (image.root / folder / tool).exists()
    packages = image.root / "opt/moderate/lib/python3.11/site-packages"
    assert list((packages / "boto3" / "__pycache__").glob("*.pyc"))
    assert not (image.root / "run" / "secrets").exists()


def test_the_analysis_has_no_dagster(analysis: Image) -> None:
    ended = analysis.run(PYTHON, "-c", "import dagster")

    assert "No module named 'dagster'" in ended.stderr


def test_the_worker_loads_its_code_without_settings(worker: Image) -> None:
    ended = worker.run(
        *(PYTHON, "-c", "from moderate.definitions import defs; print('ok')"),
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "ok"


def test_the_worker_has_what_its_flows_call(worker: Image) -> None:
    ended = worker.run(
        *("sh", "-c", "git --version && git lfs version && moderate --help"),
    )
    imported = worker.run(
        PYTHON, "-c", "import dagster_aws, dagster_k8s, metadata, polars"
    )

    assert ended.returncode == 0, ended.stderr
    assert imported.returncode == 0, imported.stderr
