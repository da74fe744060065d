"""What the reference has uploaded is not uploaded again."""

from collections.abc import Mapping

from slugify import slugify

from moderate.clients.platform_api import AssetObject
from moderate.connections import inbox_address
from moderate.inbox.database import transaction
from moderate.inbox.reference_uploads import ReferenceUpload, remember
from moderate.settings import process_settings
from moderate_tests.integration.flows.datasets.world import SMALL, World

FILES: Mapping[str, str] = {
    "data/meters/one.csv": SMALL,
    "data/weather/two.csv": SMALL,
}
NAMES = ("meters-one", "weather-two")


def uploaded(world: World, commit: str, *names: str) -> list[AssetObject]:
    """Leave what the reference leaves: objects, and its memory."""
    shelves = world.shelves()
    shelves.ensure_first()
    (asset,) = shelves.assets
    objects = [
        world.api.upload_object(
            asset.id,
            f"{name}.parquet",
            f"made by pandas of {name} at {commit}".encode(),
            tags={"repo_url": world.origin.url, "commit_sha": commit},
            series_id=slugify(f"{name}.parquet"),
        )
        for name in names
    ]
    remembered(world, commit, *names)
    return objects


def remembered(world: World, commit: str, *names: str) -> None:
    with transaction(inbox_address(process_settings())) as conn:
        dataset = world.dataset.name
        remember(
            conn, [ReferenceUpload(dataset, name, commit) for name in names]
        )


def new_series(world: World, before: list[AssetObject]) -> set[str]:
    old = {each.id for each in before}
    return {str(o.series_id) for o in world.objects() if o.id not in old}


def test_an_unchanged_file_gets_its_csv_and_no_second_parquet(
    world: World,
) -> None:
    """Later commits that leave the files as they are change nothing."""
    commit = world.origin.commit(FILES)
    before = uploaded(world, commit, *NAMES)
    world.origin.commit({"README.md": "news"})
    first = world.run()
    assert first.is_green, first.why
    assert new_series(world, before) == {"one-csv", "two-csv"}
    assert all(e.passed for e in first.result.get_asset_check_evaluations())
    second = world.run()
    assert second.source("skipped") == 2
    assert second.platform("uploaded") == 0


def test_a_file_that_changed_since_goes_up(world: World) -> None:
    commit = world.origin.commit(FILES)
    before = uploaded(world, commit, *NAMES)
    world.origin.commit({"data/weather/two.csv": SMALL.replace("1", "2")})
    assert world.run().is_green
    assert new_series(world, before) == {"one-csv", "two-csv", "two-parquet"}


def test_what_cannot_be_proven_goes_up(world: World) -> None:
    """The commit is gone, or the object is, or both files had one name."""
    commit = world.origin.commit(FILES)
    before = uploaded(world, commit, "meters-one")
    remembered(world, commit, "weather-two")  # and no object
    remembered(world, "e" * 40, "meters-one")  # a commit that nobody has
    ran = world.run()
    assert ran.is_green
    assert new_series(world, before) == {
        "one-csv",
        "one-parquet",
        "two-csv",
        "two-parquet",
    }


def test_an_object_of_another_commit_stands_for_nothing(
    world: World,
) -> None:
    """The reference was killed between its upload and its memory of it."""
    first = world.origin.commit(FILES)
    uploaded(world, first, *NAMES)
    later = world.origin.commit({"data/weather/two.csv": "a\n1\n"})
    before = uploaded(world, later, "weather-two")
    remembered(world, first, "weather-two")
    world.origin.commit(FILES)
    known = world.objects()
    assert world.run().is_green
    assert new_series(world, known) == {"one-csv", "two-csv", "two-parquet"}
    assert before[0].id in {each.id for each in world.objects()}


def test_a_rewritten_history_proves_nothing(world: World) -> None:
    """The old commit is nowhere any more."""
    commit = world.origin.commit(FILES)
    before = uploaded(world, commit, *NAMES)
    world.origin.rewrite({**FILES, "README.md": "anew"})
    assert world.run().is_green
    assert "one-parquet" in new_series(world, before)
