"""A dataset of a test: its repository, its runs, its objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    DagsterInstance,
    ExecuteInProcessResult,
    materialize,
)

from moderate.clients.platform_api import AssetObject, PlatformApi
from moderate.flows.datasets.assets import build
from moderate.flows.datasets.shelves import Shelves
from moderate.flows.datasets.sources import Dataset
from moderate.resources import PlatformApiResource, PostgresResource
from moderate_tests.integration.flows.git_origin import Origin
from moderate_tests.integration.flows.platform import Service

SMALL = "t,a\n2016-01-01 00:00:00,1\n2016-01-01 01:00:00,2.5\n"

RESOURCES = {
    "platform_api": PlatformApiResource(),
    "postgres": PostgresResource(),
}


@dataclass(frozen=True)
class Ran:
    """What a run has shown."""

    result: ExecuteInProcessResult
    dataset: Dataset

    @property
    def is_green(self) -> bool:
        return self.result.success

    @property
    def why(self) -> str:
        (failed,) = (
            event.step_failure_data
            for event in self.result.all_events
            if event.is_step_failure
        )
        assert failed.user_failure_data is not None, failed.error
        return str(failed.user_failure_data.description)

    def source(self, name: str) -> Any:
        return self._metadata(self.dataset.name)[name].value

    def platform(self, name: str) -> Any:
        key = f"platform_asset_{self.dataset.name}"
        return self._metadata(key)[name].value

    def check(self, name: str) -> AssetCheckEvaluation:
        (found,) = (
            each
            for each in self.result.get_asset_check_evaluations()
            if each.check_name == name
        )
        return found

    def diff(self, name: str) -> str:
        return str(self.check(name).metadata["faults"].value)

    def _metadata(self, key: str) -> Mapping[str, Any]:
        (event,) = (
            each
            for each in self.result.get_asset_materialization_events()
            if each.asset_key == AssetKey(key)
        )
        return event.materialization.metadata


@dataclass(frozen=True)
class World:
    """One dataset on its way."""

    instance: DagsterInstance
    api: PlatformApi
    api_url: str
    origin: Origin
    dataset: Dataset
    work: Path

    def run(self) -> Ran:
        built = build(self.dataset)
        result = materialize(
            list(built.assets),
            instance=self.instance,
            resources=RESOURCES,
            raise_on_error=False,
        )
        return Ran(result, self.dataset)

    def shelves(self) -> Shelves:
        shelves = Shelves(self.api, self.api_url, self.dataset)
        shelves.look()
        return shelves

    def objects(self) -> list[AssetObject]:
        return self.shelves().objects

    def series(self) -> list[str]:
        return sorted(str(each.series_id) for each in self.objects())

    def faults(self, **route: object) -> None:
        """Let requests of the API fail that match; none without any."""
        service = Service(self.instance, self.api_url, lambda _: self.api)
        service.faults(routes=[route] if route else [])

    def left(self) -> list[Path]:
        """Return what a run has left in the work folder."""
        folder = self.work / self.dataset.name
        found = folder.iterdir() if folder.exists() else ()
        return [path for path in found if path.is_dir()]
