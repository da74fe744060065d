"""Whatever fails on the way: nothing is lost, doubled or left behind."""

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from moderate.clients.git import Repository
from moderate.flows.datasets import shelves, work_folder
from moderate.flows.datasets.collect import Collector
from moderate.inbox.dataset_objects import DatasetObjects
from moderate.local.services.platform_api import PlatformApi
from moderate.resources import inbox_address
from moderate.settings import process_settings
from moderate_tests.integration.clients.proxy import Proxy, proxied
from moderate_tests.integration.flows.datasets.world import SMALL, World
from moderate_tests.integration.flows.platform import environment


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


def test_a_full_disk_is_seen_ahead(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.origin.commit({"data/a.csv": SMALL})
    monkeypatch.setattr(work_folder, "RESERVE_BYTES", 2**60)
    ran = world.run()
    assert "MiB are needed" in ran.why
    assert world.left() == []


def test_a_full_disk_is_seen_before_a_known_file_is_fetched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that Git has, not LFS, the last upload says the size."""
    world.origin.commit({"data/a.csv": wide(1000)})
    assert world.run().is_green
    world.origin.commit({"data/a.csv": wide(1001)})
    room_for(monkeypatch, 50_000)
    monkeypatch.setattr(Repository, "checkout", None)
    ran = world.run()
    assert "MiB are needed" in ran.why
    assert world.left() == []


def test_a_full_disk_is_seen_before_files_of_git_are_converted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How large a new one is, Git says once it is there."""
    world.origin.commit({"data/a.csv": wide(1000)})
    room_for(monkeypatch, 50_000)
    monkeypatch.setattr(Collector, "_convert", None)
    assert "MiB are needed" in world.run().why
    assert world.left() == []


def wide(rows: int) -> str:
    return "a,b\n" + "".join(f"{n},{'x' * 50}\n" for n in range(rows))


def room_for(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    free = work_folder.RESERVE_BYTES + count
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def test_an_upload_that_is_cut_off_is_tried_again(
    world: World, platform_api: PlatformApi
) -> None:
    """The platform has nothing of it, or all of it, once."""
    size = commit_large(world)
    with behind_proxy(world, platform_api) as (there, proxy):
        proxy.limit(int(0.9 * size), proxy.cut)
        ran = there.run()
        assert proxy.is_spent.is_set()
    assert ran.is_green, ran.why
    assert there.series() == ["a-csv", "a-parquet"]
    assert ran.platform("uploaded") + ran.platform("found there") == 2


def test_a_kill_in_the_middle_of_an_upload_leaves_no_object(
    world: World, platform_api: PlatformApi
) -> None:
    size = commit_large(world)
    with behind_proxy(world, platform_api) as (there, proxy):
        proxy.limit(size // 4, proxy.hold)
        with started(there, "nowhere") as process:
            assert proxy.is_spent.wait(120)
            process.kill()
        proxy.resume()
        assert there.objects() == []
        assert there.run().is_green
        assert there.series() == ["a-csv", "a-parquet"]
        assert there.left() == []


def commit_large(world: World) -> int:
    """Commit a file that takes a while to go up; return its bytes."""
    chance = random.Random(1)
    rows = [f"{n},{chance.random()}" for n in range(50_000)]
    content = "\n".join(["n,a", *rows, ""])
    world.origin.commit({"data/a.csv": content})
    return len(content)


@contextmanager
def behind_proxy(
    world: World, platform_api: PlatformApi
) -> Iterator[tuple[World, Proxy]]:
    """Put a proxy between us and the platform."""
    url = urlsplit(platform_api.url)
    assert url.hostname
    assert url.port
    with proxied(url.hostname, url.port) as proxy:
        through = f"http://127.0.0.1:{proxy.port}"
        with environment({"API_BASE_URL": through}):
            yield replace(world, api_url=through), proxy


def test_where_nothing_may_be_removed_a_continuation_begins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform may refuse to remove what nobody owns."""
    monkeypatch.setattr(shelves, "MOST_OBJECTS", 4)
    world.faults(prefix="/asset/", method="DELETE", status=403)
    world.origin.commit({"data/a.csv": SMALL, "data/b.csv": "a\n0\n"})
    assert world.run().is_green
    for change, assets in ((1, 2), (2, 2), (3, 3)):
        world.origin.commit({"data/b.csv": f"a\n{change}\n"})
        ran = world.run()
        assert ran.is_green, ran.why
        there = world.shelves()
        assert len(there.assets) == assets
        assert len(there.objects) == 4 + 2 * change, "every version stays"
        latest = there.latest("b-csv")
        assert latest == there.objects[-1]
    assert world.run().platform("uploaded") == 0


def test_a_lost_answer_is_not_uploaded_twice(world: World) -> None:
    world.origin.commit({"data/a.csv": SMALL})
    world.run()
    world.origin.commit({"data/a.csv": "a\n7\n"})
    (asset,) = world.shelves().assets
    world.faults(
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
    world.faults(prefix="/asset/", method="POST", status=503, count=2)
    assert world.run().is_green
    assert len(world.objects()) == 4


def test_what_the_api_refuses_is_brought_by_the_next_run(
    world: World,
) -> None:
    world.origin.commit({"data/a.csv": SMALL, "data/b.csv": "a\n1\n"})
    world.faults(prefix="/asset/", method="POST", status=503)
    ran = world.run()
    assert not ran.is_green
    assert "2 file(s) failed" in ran.why
    world.faults(prefix="/nothing")
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
elif sys.argv[1] == "conversion":
    publish.Publisher.publish = die

from dagster import DagsterInstance, materialize
from moderate.flows.datasets.assets import build
from moderate.flows.datasets.sources import Dataset
from moderate_tests.integration.flows.datasets.world import RESOURCES

_, _, name, url = sys.argv
dataset = Dataset(name, name, "A dataset.", url, "main", ("data/**/*.csv",))
materialize(
    list(build(dataset).assets),
    instance=DagsterInstance.ephemeral(),
    resources=RESOURCES,
)
"""


def started(world: World, when: str) -> "subprocess.Popen[bytes]":
    """Begin a run in a process of its own, which dies somewhere."""
    arguments = [when, world.dataset.name, world.origin.url]
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, *arguments],
        cwd=Path(__file__).parents[4],
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("when", ["upload", "conversion"])
def test_a_kill_loses_nothing_and_doubles_nothing(
    world: World, when: str
) -> None:
    """Between an upload and our memory of it, or before the first one."""
    world.origin.commit({"data/a.csv": SMALL, "data/b.csv": "a\n1\n"})
    with started(world, when) as process:
        assert process.wait(120) == -signal.SIGKILL
    assert len(world.objects()) == (1 if when == "upload" else 0)
    assert len(world.left()) == 1
    ran = world.run()
    assert ran.is_green
    assert ran.platform("found there") == (1 if when == "upload" else 0)
    assert len(world.objects()) == 4
    assert world.left() == [], "that of the dead run is gone too"


def test_two_runs_at_once_do_not_publish_together(world: World) -> None:
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
