"""Datasets go from real Git and LFS to the platform, once each."""

import pytest

from moderate.flows.datasets import shelves
from moderate_tests.integration.flows.datasets.world import SMALL, World


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
