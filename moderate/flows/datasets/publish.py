"""From converted files to objects of the platform's assets.

Twice is harmless: before each upload, and after each that failed, the
platform is asked whether the file's newest version is this one already. So a
crash between the upload and our memory of it is found out, and an answer that
was lost on the way.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from moderate.clients.platform_api import AssetObject
from moderate.errors import ModerateError, TemporaryError
from moderate.flows.datasets.collect import CONVERSION
from moderate.flows.datasets.facts import (
    FORMATS,
    Collected,
    Converted,
    Failed,
    Output,
)
from moderate.flows.datasets.names import file_name, series_of
from moderate.flows.datasets.shelves import Shelves
from moderate.inbox.dataset_objects import DatasetObject, DatasetObjects

ATTEMPTS = 4
"""Times that one upload is tried in one run."""

PAUSE_SECONDS = 5.0
"""Before the second attempt; doubles each time."""

TOOL = f"moderate/{CONVERSION}"
"""The tag that says what has converted a file."""


@dataclass(frozen=True)
class Published:
    """What became of a dataset on the platform.

    Attributes:
        asset_ids: The platform's assets.
        uploaded: Objects that were uploaded, with the bytes of each.
        adopted: Objects that were there already without our knowing.
        twins: Objects that were there twice and were removed.
        failed: Files that did not get there.
    """

    asset_ids: tuple[int, ...]
    uploaded: dict[str, int] = field(default_factory=dict)
    adopted: tuple[str, ...] = ()
    twins: int = 0
    failed: tuple[Failed, ...] = ()


class Publisher:
    """Brings one dataset to the platform.

    Args:
        shelves: The dataset's assets.
        memory: What was uploaded before.
        say: Takes lines of progress.
    """

    def __init__(
        self,
        shelves: Shelves,
        memory: DatasetObjects,
        *,
        say: Callable[[str], None],
    ) -> None:
        self._shelves = shelves
        self._memory = memory
        self._say = say
        self._uploaded: dict[str, int] = {}
        self._adopted: list[str] = []

    def publish(self, collected: Collected) -> Published:
        """Upload what is not there; one file that fails does so alone.

        Raises:
            DatasetBusyError: Another run is at it.
            HttpTemporaryError: The platform can't be reached.
            InboxUnavailableError: The memory can't be reached.
        """
        with self._memory.alone(collected.dataset):
            self._shelves.look()
            twins = self._shelves.remove_twins()
            self._shelves.ensure_first()
            series = {
                ending: series_of(
                    collected.paths,
                    ending,
                    self._shelves.paths_of_series(ending),
                )
                for ending in FORMATS
            }
            failed = []
            for file in collected.converted:
                try:
                    for output in file.outputs:
                        named = series[output.format][file.path]
                        self._bring(collected, file, output, named)
                except (ModerateError, OSError) as error:
                    self._say(f"{file.path}: {error}")
                    failed.append(Failed(file.path, str(error)))
        return Published(
            asset_ids=tuple(asset.id for asset in self._shelves.assets),
            uploaded=self._uploaded,
            adopted=tuple(self._adopted),
            twins=twins,
            failed=tuple(failed),
        )

    def _bring(
        self,
        collected: Collected,
        file: Converted,
        output: Output,
        series: str,
    ) -> None:
        name = file_name(file.path, output.format)
        before = collected.before.get(file.path)
        there = self._there(output, series) or self._shelves.kept(
            output, before
        )
        if there:
            self._adopted.append(name)
            self._say(f"{name} is object {there.id} already")
        else:
            there = self._upload(collected, file, output, series)
            self._uploaded[f"{name} as {series}"] = output.size_bytes
            self._say(f"{name} is object {there.id} of {there.asset_id}")
        self._memory.remember(
            DatasetObject(
                dataset=collected.dataset,
                path=file.path,
                format=output.format,
                made_of=file.made_of,
                content_hash=file.content_hash,
                object_hash=there.sha256_hash,
                commit_id=collected.commit,
                asset_id=there.asset_id,
                object_id=there.id,
                size_bytes=output.size_bytes,
                row_count=file.rows,
                columns=[list(pair) for pair in file.columns],
            )
        )

    def _there(self, output: Output, series: str) -> AssetObject | None:
        latest = self._shelves.latest(series)
        same = latest and latest.sha256_hash == output.sha256
        return latest if same else None

    def _upload(
        self,
        collected: Collected,
        file: Converted,
        output: Output,
        series: str,
    ) -> AssetObject:
        for attempt in range(ATTEMPTS):
            try:
                if attempt:
                    self._shelves.look()
                    if there := self._there(output, series):
                        return there  # only the answer was lost
                return self._upload_once(collected, file, output, series)
            except TemporaryError as error:
                if attempt == ATTEMPTS - 1:
                    raise
                pause = PAUSE_SECONDS * 2**attempt
                self._say(f"{file.path}: {error}; once more in {pause:g} s")
                time.sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    def _upload_once(
        self,
        collected: Collected,
        file: Converted,
        output: Output,
        series: str,
    ) -> AssetObject:
        asset = self._shelves.room()
        name = file_name(file.path, output.format)
        uploaded = self._shelves.upload(
            asset,
            name,
            output.path,
            series_id=series,
            tags=_tags(collected, file, output),
        )
        if uploaded.sha256_hash != output.sha256:
            msg = f"{name}: the platform has stored other bytes than ours"
            raise TemporaryError(msg)
        return uploaded


def _tags(
    collected: Collected, file: Converted, output: Output
) -> dict[str, str]:
    return {
        "repo_url": collected.url,
        "commit_sha": collected.commit,
        "file": file.path,
        "content_hash": file.content_hash,
        "tool_version": TOOL,
        "format": output.format,
    }


def all_failures(
    collected: Collected, published: Published
) -> Sequence[Failed]:
    """Return the files that did not get to the platform, and why."""
    return (*collected.failed, *published.failed)
