"""Datasets go from real Git and LFS to the platform, once each."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from dagster import DagsterInstance

from moderate.flows.datasets import publish, shelves, work_folder
from moderate.flows.datasets.sources import Dataset
from moderate.inbox.database import pool_of
from moderate.local import install
from moderate.local.services.platform_api import PlatformApi
from moderate.resources import inbox_address
from moderate.settings import process_settings
from moderate_tests.conftest import require
from moderate_tests.integration.flows.datasets import World
from moderate_tests.integration.flows.git_origin import Origin
from moderate_tests.integration.flows.platform import (
    AsUser,
    Service,
    environment,
)

SMALL = "t,a\n2016-01-01 00:00:00,1\n2016-01-01 01:00:00,2.5\n"


@pytest.fixture
def world(
    settings: dict[str, str],
    platform_api: PlatformApi,
    as_user: AsUser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    require(install.GIT_LFS)
    monkeypatch.setattr(publish, "PAUSE_SECONDS", 0.05)
    work = tmp_path / "work"
    name = f"set_{uuid4().hex[:8]}"
    origin = Origin(tmp_path / "git")
    dataset = Dataset(
        name=name,
        platform_name=name,
        description="A dataset.",
        url=origin.url,
        ref="main",
        globs=("data/**/*.csv",),
        lfs=True,
    )
    more = {"DATASETS_WORK_DIR": str(work)}
    with (
        environment({**settings, **more}),
        DagsterInstance.ephemeral() as instance,
    ):
        api = as_user("workflows")
        world = World(instance, api, platform_api.url, origin, dataset, work)
        yield world
        Service(instance, platform_api.url, as_user).faults()
        pool_of(inbox_address(process_settings())).close()


def faults(world: World, **route: object) -> None:
    service = Service(world.instance, world.api_url, lambda _: world.api)
    service.faults(routes=[route])


def test_files_become_parquet_and_csv_objects_once(world: World) -> None:
    """The second run fetches, converts and uploads nothing."""
    commit = world.origin.commit(
        {
            "data/one.csv": SMALL,
            "data/deep/two.lfs.csv": SMALL + "2016-01-01 02:00:00,\n",
            "data/notes.txt": "not wanted",
        }
    )
    first = world.run()
    assert first.is_green
    assert world.series() == [
        "one-csv",
        "one-parquet",
        "two-lfs-csv",
        "two-lfs-parquet",
    ]
    (asset,) = world.shelves().assets
    assert asset.username is None, "nobody owns it"
    tags = world.objects()[0].tags or {}
    assert tags["commit_sha"] == first.source("commit") == commit
    assert tags["repo_url"] == world.origin.url
    assert first.source("rows") == 5
    assert first.platform("uploaded") == 4
    assert "2016-01-01 01:00:00" in first.source("preview")
    assert all(e.passed for e in first.result.get_asset_check_evaluations())
    assert world.left() == []
    second = world.run()
    assert second.is_green
    assert second.source("skipped") == 2
    assert second.platform("uploaded") == 0
    assert len(world.objects()) == 4


def test_only_the_file_that_changed_goes_up_again(world: World) -> None:
    files = {f"data/{name}.csv": f"a\n{len(name)}\n" for name in "abcde"}
    world.origin.commit(files)
    assert world.run().is_green
    world.origin.commit({"data/c.csv": "a,b\n1.5,x\n"})
    again = world.run()
    assert again.is_green
    assert again.source("converted") == 1
    assert again.platform("uploaded") == 2
    assert world.shelves().latest("c-csv") == world.objects()[-1]
    assert not again.check("schema_unchanged").passed
    diff = again.diff("schema_unchanged")
    assert "- a: int64\n+ a: double\n+ b: string" in diff


def test_a_bad_file_fails_alone_and_the_run_with_it(world: World) -> None:
    world.origin.commit(
        {
            "data/good.csv": SMALL,
            "data/ragged.csv": "a,b\n1,2\n3\n",
            "data/empty.csv": "",
            "data/pointer.csv": "version https://git-lfs.github.com/spec/v1\n",
        }
    )
    world.origin.link("data/link.csv", "/etc/passwd")
    world.origin.commit({"data/other.csv": SMALL})
    ran = world.run()
    assert not ran.is_green
    assert "data/ragged.csv: line 3, column 'b'" in ran.why
    assert "data/empty.csv: the file is empty" in ran.why
    assert "data/pointer.csv: its LFS pointer is broken" in ran.why
    assert "3 file(s) failed" in ran.why, "a link is no file"
    assert not ran.check("every_file_read").passed
    assert world.series() == [
        "good-csv",
        "good-parquet",
        "other-csv",
        "other-parquet",
    ]
    assert world.left() == []


def test_an_object_that_lfs_has_lost_fails_alone(world: World) -> None:
    world.origin.commit({"data/lost.lfs.csv": SMALL})
    world.origin.lose_objects_of_lfs()
    world.origin.commit({"data/there.lfs.csv": "a\n1\n"})
    ran = world.run()
    assert not ran.is_green
    assert "data/lost.lfs.csv" in ran.why
    assert world.series() == ["there-lfs-csv", "there-lfs-parquet"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ref": "gone"}, "'gone' is gone from"),
        ({"globs": ("data/*.csv", "none/*.csv")}, "matches none/*.csv"),
        ({"url": "ext::sh -c id"}, "only https, ssh, file are allowed"),
        ({"url": "file:///no/such/repository"}, "does not appear to be"),
        ({"ref": "--upload-pack=id"}, "is not the name of a branch"),
    ],
)
def test_a_source_that_is_not_there_is_an_error(
    world: World, change: dict[str, object], words: str
) -> None:
    world.origin.commit({"data/a.csv": SMALL})
    ran = replace(world, dataset=replace(world.dataset, **change)).run()  # type: ignore[arg-type]  # as named
    assert not ran.is_green
    assert words in ran.why
    assert world.left() == []


def test_history_may_be_rewritten(world: World) -> None:
    world.origin.commit({"data/a.csv": SMALL, "data/b.csv": SMALL})
    assert world.run().is_green
    world.origin.rewrite({"data/b.csv": "a\n1\n"})
    ran = world.run()
    assert ran.is_green
    assert ran.source("skipped") == 1
    assert ran.platform("uploaded") == 2


def test_names_that_slugify_alike_are_told_apart_for_good(
    world: World,
) -> None:
    world.origin.commit({"data/x/a b.csv": SMALL, "data/y/a-b.csv": SMALL})
    assert world.run().is_green
    series = world.series()
    assert len(set(series)) == 4
    assert {"a-b-csv", "a-b-parquet"} < set(series)
    world.origin.commit(
        {"data/0/A B.csv": "a\n1\n", "data/y/a-b.csv": "a\n2\n"}
    )
    assert world.run().is_green
    assert set(series) < set(world.series()), "nobody has lost its own"
    assert len(set(world.series())) == 6


def test_a_full_disk_is_seen_ahead(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.origin.commit({"data/a.csv": SMALL})
    monkeypatch.setattr(work_folder, "RESERVE_BYTES", 2**60)
    ran = world.run()
    assert "MiB are needed" in ran.why
    assert world.left() == []


def test_a_lost_answer_is_not_uploaded_twice(world: World) -> None:
    world.origin.commit({"data/a.csv": SMALL})
    world.run()
    world.origin.commit({"data/a.csv": "a\n7\n"})
    (asset,) = world.shelves().assets
    faults(
        world,
        prefix=f"/asset/{asset.id}/object",
        method="POST",
        status=502,
        count=1,
        after_effect=True,
    )
    assert world.run().is_green
    assert len(world.objects()) == 4


def test_an_upload_goes_on_after_the_api_was_down(world: World) -> None:
    world.origin.commit({"data/a.csv": SMALL, "data/b.csv": "a\n1\n"})
    faults(world, prefix="/asset/", method="POST", status=503, count=2)
    assert world.run().is_green
    assert len(world.objects()) == 4


def test_what_the_api_refuses_is_brought_by_the_next_run(
    world: World,
) -> None:
    world.origin.commit({"data/a.csv": SMALL, "data/b.csv": "a\n1\n"})
    faults(world, prefix="/asset/", method="POST", status=503)
    ran = world.run()
    assert not ran.is_green
    assert "2 file(s) failed" in ran.why
    faults(world, prefix="/nothing")
    assert world.run().is_green
    assert len(world.objects()) == 4


KILLED = """
import os, signal, sys
from moderate.flows.datasets import collect, publish
from moderate.inbox.dataset_objects import DatasetObjects

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "upload":
    DatasetObjects.remember = die
else:
    publish.Publisher.publish = die

from dagster import DagsterInstance, materialize
from moderate.flows.datasets.assets import build
from moderate.flows.datasets.sources import Dataset
from moderate_tests.integration.flows.datasets import RESOURCES

_, _, name, url = sys.argv
dataset = Dataset(name, name, "A dataset.", url, "main", ("data/**/*.csv",))
materialize(
    list(build(dataset).assets),
    instance=DagsterInstance.ephemeral(),
    resources=RESOURCES,
)
"""


@pytest.mark.parametrize("when", ["upload", "conversion"])
def test_a_kill_loses_nothing_and_doubles_nothing(
    world: World, when: str
) -> None:
    """Between an upload and our memory of it, or before the first one."""
    world.origin.commit({"data/a.csv": SMALL, "data/b.csv": "a\n1\n"})
    arguments = [when, world.dataset.name, world.origin.url]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments],
        cwd=Path(__file__).parents[3],
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert len(world.objects()) == (1 if when == "upload" else 0)
    assert len(world.left()) == 1
    ran = world.run()
    assert ran.is_green
    assert ran.platform("found there") == (1 if when == "upload" else 0)
    assert len(world.objects()) == 4
    assert world.left() == [], "that of the dead run is gone too"


def changes(world: World, files: int) -> None:
    """Change one of many files twice; see that it always has a version."""
    names = [f"data/{n:02}.csv" for n in range(files)]
    world.origin.commit({name: f"a\n{name}\n" for name in names})
    assert world.run().is_green
    assert len(world.shelves().assets) == 1
    for change, assets in ((1, 2), (2, 2), (3, 2)):
        world.origin.commit({names[0]: f"a\n{change}\n"})
        ran = world.run()
        assert ran.is_green, ran.why
        assert ran.platform("uploaded") == 2
        there = world.shelves()
        assert len(there.assets) == assets
        assert len({each.series_id for each in there.objects}) == 2 * files
    assert world.run().platform("uploaded") == 0


def test_a_full_asset_is_continued(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "MOST_OBJECTS", 4)
    changes(world, files=2)


@pytest.mark.full
def test_fifty_files_change_twice(world: World) -> None:
    """50 files in 2 formats are the 100 objects that an asset may have."""
    changes(world, files=50)


def test_two_runs_at_once_do_not_publish_together(world: World) -> None:
    from moderate.inbox.dataset_objects import DatasetObjects  # noqa: PLC0415

    world.origin.commit({"data/a.csv": SMALL})
    memory = DatasetObjects(inbox_address(process_settings()))
    with memory.alone(world.dataset.name):
        ran = world.run()
    assert "another run is publishing" in ran.why
    assert world.run().is_green
    assert len(world.objects()) == 2


def test_a_flow_that_is_off_says_what_switches_it_on(world: World) -> None:
    with environment({"API_USERNAME": "", "API_PASSWORD": ""}):
        assert "flow datasets is off: set API_USERNAME" in world.run().why
