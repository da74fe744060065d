"""A ``kill -9`` in the middle of writing leaves nothing that looks whole."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import yaml
from dagster import DagsterInstance, build_op_context

from moderate.clients.errors import CredentialsRejected
from moderate.definitions import build_defs
from moderate.flows.data_services.leftovers import (
    LEFT_BEHIND,
    part_of,
    remove_leftovers,
)
from moderate.local.services.s3 import ASSETS_BUCKET, S3
from moderate_tests.integration.clients.proxy import Proxy, proxied
from moderate_tests.integration.data_services.conftest import metadata_of

EXAMPLE = "data_processing_job"
MIB = 1024 * 1024
ROWS = 40_000
BIG = "n,text\n" + "".join(f"{n},{'x' * 1000}\n" for n in range(ROWS))
PROGRAM = """
import os, signal, sys, yaml
from dagster import DagsterInstance
from moderate.clients.object_storage import ObjectStorage
from moderate.definitions import build_defs

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

_, home, job, config, when = sys.argv
if when == "before the copy":
    ObjectStorage.copy = die
elif when == "before the rename":
    os.fsync = die
with DagsterInstance.local_temp(home) as instance:
    build_defs().resolve_job_def(job).execute_in_process(
        run_config=yaml.safe_load(config), instance=instance
    )
"""


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    url = urlsplit(s3.client_environment()["S3_ENDPOINT_URL"])
    assert url.hostname
    assert url.port
    with proxied(url.hostname, url.port) as running:
        yield running


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    home = tmp_path / "dagster"
    home.mkdir()
    with DagsterInstance.local_temp(str(home)) as made:
        yield made


def start(
    instance: DagsterInstance, job: str, config: str, when: str, **more: str
) -> "subprocess.Popen[bytes]":
    arguments = [instance.root_directory, job, config, when]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=Path(__file__).parents[3],
        env={**os.environ, **more},
        stderr=subprocess.DEVNULL,
    )


def again(instance: DagsterInstance, job: str, config: str) -> list[str]:
    """Run the job to its end; return the leftovers that it shows."""
    made = build_defs().resolve_job_def(job)
    result = made.execute_in_process(
        run_config=yaml.safe_load(config), instance=instance
    )
    assert result.success
    step = "write_csv_to_minio" if "s3" in job else "write_df_to_csv"
    left: list[str] = metadata_of(result, step).get(LEFT_BEHIND, [])
    return left


def end_killed_run(instance: DagsterInstance) -> None:
    """Say that the run is over, as Dagster's monitoring does."""
    (killed,) = (r for r in instance.get_runs() if not r.is_finished)
    instance.report_run_failed(killed)


@pytest.mark.services
@pytest.mark.parametrize("when", ["in the upload", "before the copy"])
def test_a_kill_leaves_the_old_object_and_the_next_run_cleans_up(
    instance: DagsterInstance, storage: Any, proxy: Proxy, when: str
) -> None:
    """The final key has the old bytes or the new ones, never a part."""
    folder = uuid4().hex
    key, out = f"{folder}/in.csv", f"{folder}/out.csv"
    storage.put_object(Bucket=ASSETS_BUCKET, Key=key, Body=BIG.encode())
    storage.put_object(Bucket=ASSETS_BUCKET, Key=out, Body=b"old")
    job = "remove_duplicates_job_s3"
    config = f"""
ops:
  read_csv_from_minio:
    config: {{bucket_name: {ASSETS_BUCKET}, file_key: {key}}}
  write_csv_to_minio:
    config: {{bucket_name: {ASSETS_BUCKET}, file_key: {out}}}
"""
    if when == "in the upload":
        proxy.limit(24 * MIB, proxy.hold)
    url = f"http://127.0.0.1:{proxy.port}"
    with start(instance, job, config, when, S3_ENDPOINT_URL=url) as process:
        if when == "in the upload":
            assert proxy.is_spent.wait(120)
            assert process.poll() is None
            process.kill()
        assert process.wait(120) == -signal.SIGKILL
    assert _content(storage, out) == b"old"
    (part,) = again(instance, job, config)
    assert part.startswith(f"{out}.")
    assert part.endswith(".part")
    assert _content(storage, out) == BIG.encode()
    end_killed_run(instance)
    assert again(instance, job, config) == []
    assert _names(storage, folder) == {key, out}


def test_a_kill_leaves_the_old_file_and_the_next_run_cleans_up(
    instance: DagsterInstance,
    tmp_path: Path,
    environment: Callable[..., None],
) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n1\n")
    (tmp_path / "out.csv").write_text("old")
    job = "remove_duplicates_job"
    config = f"""
ops:
  read_csv_to_df: {{config: {{input_path: {tmp_path}/in.csv}}}}
  write_df_to_csv: {{config: {{output_path: {tmp_path}/out.csv}}}}
"""
    with start(instance, job, config, "before the rename") as process:
        assert process.wait(120) == -signal.SIGKILL
    assert (tmp_path / "out.csv").read_text() == "old"
    (part,) = again(instance, job, config)
    assert (tmp_path / "out.csv").read_text() == "a\n1\n"
    assert (tmp_path / part).exists(), "for all we know that run lives"
    end_killed_run(instance)
    assert again(instance, job, config) == []
    assert not (tmp_path / part).exists()


def _content(storage: Any, key: str) -> bytes:
    body = storage.get_object(Bucket=ASSETS_BUCKET, Key=key)["Body"]
    return bytes(body.read())


def _names(storage: Any, prefix: str) -> set[str]:
    """Return keys, of uploads that were never completed too."""
    where = {"Bucket": ASSETS_BUCKET, "Prefix": prefix}
    objects = storage.list_objects_v2(**where).get("Contents", [])
    uploads = storage.list_multipart_uploads(**where).get("Uploads", [])
    return {each["Key"] for each in (*objects, *uploads)}


def test_a_bucket_that_we_may_not_list_fails_nothing() -> None:
    """The output is there already: to look for more is a courtesy."""

    def refused() -> set[str]:
        msg = "S3: list moderate/out.csv.: 403 AccessDenied"
        raise CredentialsRejected(msg)

    with build_op_context() as context:
        remove_leftovers(context, "out.csv", refused, lambda _: None)


def test_only_parts_of_the_same_output_are_removed(
    instance: DagsterInstance,
) -> None:
    run = instance.create_run_for_job(build_defs().resolve_job_def(EXAMPLE))
    instance.report_run_failed(run)
    mine = part_of("out.csv", run.run_id)
    others = {part_of("out.csv.bak", run.run_id), "out.csv", f"x{mine}"}
    removed: list[str] = []
    with build_op_context(instance=instance) as context:
        remove_leftovers(
            context, "out.csv", lambda: {mine, *others}, removed.append
        )
    assert removed == [mine]
