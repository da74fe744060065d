"""A dataset's platform assets: the first, and continuations where it is full.

An asset has room for a number of objects. Old versions of files stay as long
as there is room; then those that a newer one has replaced are removed, and
where the API does not let us, or every object is the latest of its file, a
numbered continuation begins. So a file has a version on the platform at every
moment.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from moderate.clients.http import HttpPermanentError
from moderate.clients.platform_api import (
    MOST_OBJECTS,
    Asset,
    AssetObject,
    PlatformApi,
)
from moderate.errors import TemporaryError
from moderate.flows.datasets.facts import Before, Output
from moderate.flows.datasets.names import asset_name, asset_uuid
from moderate.flows.datasets.sources import Dataset

MOST_SHELVES = 100
"""Continuations that are looked for at the most."""


class Shelves:
    """The assets of one dataset, as the platform has them.

    Args:
        api: The platform.
        api_url: Its base URL, which is in the assets' uuids.
        dataset: The dataset.
    """

    def __init__(
        self,
        api: PlatformApi,
        api_url: str,
        dataset: Dataset,
    ) -> None:
        self._api = api
        self._api_url = api_url
        self._dataset = dataset
        self.assets: list[Asset] = []
        self.objects: list[AssetObject] = []

    def look(self) -> None:
        """Ask the platform what there is."""
        self.assets, self.objects = [], []
        for number in range(1, MOST_SHELVES + 1):
            asset = self._api.find_asset(self._uuid(number))
            if asset is None:
                break
            self.assets.append(asset)
            self.objects += self._api.list_objects_of_asset(asset.id)
        self.objects.sort(key=lambda each: each.id)

    def ensure_first(self) -> None:
        """Make the first asset if it is missing."""
        if not self.assets:
            self._begin_next()

    def latest(self, series: str) -> AssetObject | None:
        """Return the newest version of a file."""
        versions = self._versions(series)
        return versions[-1] if versions else None

    def kept(
        self, output: Output, before: Before | None
    ) -> AssetObject | None:
        """Return what the reference has uploaded, if it stands for a file.

        It is the newest version of its series, and of the commit that was
        proven to have the file as it is now.
        """
        if before is None or output.format != "parquet":
            return None
        there = self.latest(before.series)
        tags = (there.tags if there else None) or {}
        return there if tags.get("commit_sha") == before.commit else None

    def paths_of_series(self, ending: str) -> dict[str, str]:
        """Return which file has which series already, in one format."""
        return {
            each.series_id: str(each.tags["file"])
            for each in self.objects
            if each.series_id
            and each.tags
            and each.tags.get("format") == ending
            and "file" in each.tags
        }

    def room(self) -> Asset:
        """Return an asset that takes one more object.

        Raises:
            TemporaryError: There are too many continuations.
        """
        self.ensure_first()
        for asset in self.assets:
            if self._count(asset) < MOST_OBJECTS or self._make_room(asset):
                return asset
        return self._begin_next()

    def upload(
        self,
        asset: Asset,
        name: str,
        content: Path,
        *,
        series_id: str,
        tags: Mapping[str, str],
    ) -> AssetObject:
        """Upload a file as the newest version of its series."""
        uploaded = self._api.upload_object(
            asset.id,
            name,
            content,
            tags=tags,
            name=name,
            series_id=series_id,
        )
        self.objects.append(uploaded)
        return uploaded

    def remove_twins(self) -> int:
        """Remove a file's newest version where it is the same as before.

        An upload whose answer was lost may have arrived after it was tried
        again: then there are two of the same, and the first one stays.

        Returns:
            How many were removed.
        """
        removed = 0
        for series in {each.series_id for each in self.objects}:
            versions = self._versions(series) if series else []
            while (
                len(versions) > 1
                and versions[-1].sha256_hash == versions[-2].sha256_hash
                and self._remove(versions.pop())
            ):
                removed += 1
        return removed

    def _versions(self, series: str) -> list[AssetObject]:
        return [each for each in self.objects if each.series_id == series]

    def _count(self, asset: Asset) -> int:
        return sum(each.asset_id == asset.id for each in self.objects)

    def _make_room(self, asset: Asset) -> bool:
        """Remove the oldest version that a newer one has replaced."""
        return any(
            self._remove(each)
            for each in self._replaced()
            if each.asset_id == asset.id
        )

    def _replaced(self) -> Sequence[AssetObject]:
        newest = {e.series_id: e.id for e in self.objects if e.series_id}
        return [
            each
            for each in self.objects
            if each.series_id and newest[each.series_id] != each.id
        ]

    def _remove(self, each: AssetObject) -> bool:
        if self._api.delete_object(each.asset_id, each.id):
            self.objects.remove(each)
            return True
        return False

    def _begin_next(self) -> Asset:
        number = len(self.assets) + 1
        if number > MOST_SHELVES:
            msg = f"{self._dataset.name} has {MOST_SHELVES} assets already"
            raise TemporaryError(msg)
        try:
            asset = self._api.create_asset(
                self._name(number),
                uuid=self._uuid(number),
                description=self._dataset.description,
                ownerless=True,
            )
        except HttpPermanentError as error:
            if error.status != httpx.codes.CONFLICT:
                raise
            found = self._api.find_asset(self._uuid(number))
            if found is None:
                raise
            asset = found  # somebody was faster
        self.assets.append(asset)
        return asset

    def _name(self, number: int) -> str:
        return asset_name(self._dataset.platform_name, number)

    def _uuid(self, number: int) -> str:
        return asset_uuid(self._api_url, self._name(number))
