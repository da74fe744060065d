"""The assets of each dataset: what its repository has, what the platform has.

``NAME`` fetches and converts what has changed; ``platform_asset_NAME``
uploads it. A file that fails does so alone: the others go up, and the run
fails in the end, naming it.
"""

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetIn,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    CodeReferencesMetadataValue,
    DefaultScheduleStatus,
    Failure,
    LocalFileCodeReference,
    Output,
    ScheduleDefinition,
    asset,
    define_asset_job,
    in_process_executor,
)
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition,
)
from dagster_shared.utils.warnings import BetaWarning

from moderate.errors import ModerateError, SettingsError
from moderate.flows import tags
from moderate.flows.datasets import collect, publish, reports, work_folder
from moderate.flows.datasets.collect import Collector, known_of
from moderate.flows.datasets.facts import Collected
from moderate.flows.datasets.publish import (
    Published,
    Publisher,
    all_failures,
)
from moderate.flows.datasets.shelves import Shelves
from moderate.flows.datasets.sources import DATASETS, Dataset
from moderate.inbox.dataset_objects import DatasetObjects
from moderate.inbox.reference_uploads import uploads_of
from moderate.resources import (
    PlatformApiResource,
    PostgresResource,
    given,
    redactor,
)
from moderate.settings import PlatformApiSettings, process_settings

FLOW = "datasets"
OWNERS = ["team:moderate"]
DEFAULT_WORK_DIR = Path(".local/state/moderate/datasets")
"""In the user's home."""


@dataclass(frozen=True)
class DatasetDefinitions:
    """What Dagster loads of one dataset."""

    assets: tuple[AssetsDefinition, AssetsDefinition]
    job: UnresolvedAssetJobDefinition
    schedule: ScheduleDefinition


def build(dataset: Dataset) -> DatasetDefinitions:
    """Return the assets, the job and the schedule of a dataset."""
    source, published = _source_asset(dataset), _platform_asset(dataset)
    job = define_asset_job(
        f"{dataset.name}_job",
        selection=AssetSelection.assets(source.key, published.key),
        description=f"Bring what has changed of {dataset.name} to the"
        " platform.",
        tags={tags.FLOW: FLOW},
        executor_def=in_process_executor,
    )
    schedule = ScheduleDefinition(
        name=f"{dataset.name}_weekly",
        job=job,
        cron_schedule=dataset.weekly_at,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.STOPPED,
        description="Once a week, once it is switched on.",
    )
    return DatasetDefinitions((source, published), job, schedule)


def _source_asset(dataset: Dataset) -> AssetsDefinition:
    key = AssetKey(dataset.name)
    specs = [
        AssetCheckSpec(name, asset=key, description=description)
        for name, description in reports.SOURCE_CHECKS.items()
    ]

    @asset(
        key=key,
        description=f"{dataset.description} Files of {dataset.url} that are"
        " new or changed, as Parquet and CSV. Touches nothing outside its"
        " work folder.",
        group_name=FLOW,
        owners=OWNERS,
        kinds={"git", "parquet"},
        check_specs=specs,
        metadata=_code(collect.__file__),
        tags={tags.ASSET_FLOW: FLOW},
    )
    def source_asset(
        context: AssetExecutionContext,
        platform_api: PlatformApiResource,
        postgres: PostgresResource,
    ) -> Iterator[Output[Collected] | AssetCheckResult]:
        with _told_plainly():
            collected = _collect(context, dataset, platform_api, postgres)
        yield Output(collected, metadata=reports.of_source(collected))
        yield from reports.source_checks(key, collected)
        if collected.failed and not _is_selected(context, _published(dataset)):
            raise _failure(reports.failures(collected.failed))

    return source_asset


def _platform_asset(dataset: Dataset) -> AssetsDefinition:
    key = _published(dataset)
    specs = [
        AssetCheckSpec(name, asset=key, description=description)
        for name, description in reports.PLATFORM_CHECKS.items()
    ]

    @asset(
        key=key,
        description=f"{dataset.description} The objects of the platform's"
        " asset. Twice is harmless: see `flows/datasets/publish.py`.",
        group_name=FLOW,
        owners=OWNERS,
        kinds={"parquet", "csv"},
        ins={"collected": AssetIn(key=AssetKey(dataset.name))},
        check_specs=specs,
        metadata=_code(publish.__file__),
        tags={tags.ASSET_FLOW: FLOW},
    )
    def platform_asset(
        context: AssetExecutionContext,
        collected: Collected,
        platform_api: PlatformApiResource,
        postgres: PostgresResource,
    ) -> Iterator[Output[None] | AssetCheckResult]:
        with _told_plainly():
            shelves = _shelves(dataset, platform_api)
            published = _publish(context, shelves, collected, postgres)
        yield Output(None, metadata=reports.of_platform(collected, published))
        yield from reports.platform_checks(key, collected, shelves)
        if failed := all_failures(collected, published):
            raise _failure(reports.failures(failed))

    return platform_asset


def _code(file: str) -> Mapping[str, Any]:
    """Return what the UI links to: the code that makes an asset."""
    with warnings.catch_warnings():
        # Dagster's own word on them; each process would repeat it.
        warnings.simplefilter("ignore", BetaWarning)
        reference = LocalFileCodeReference(file_path=file, line_number=1)
        value = CodeReferencesMetadataValue(code_references=[reference])
    return {"dagster/code_references": value}


def _published(dataset: Dataset) -> AssetKey:
    return AssetKey(f"platform_asset_{dataset.name}")


def _collect(
    context: AssetExecutionContext,
    dataset: Dataset,
    platform_api: PlatformApiResource,
    postgres: PostgresResource,
) -> Collected:
    _require_flow()
    settings = process_settings().datasets
    inbox = postgres.inbox_address()
    memory = DatasetObjects(inbox)
    shelves = _shelves(dataset, platform_api)
    shelves.look()
    present = {each.id: each.sha256_hash for each in shelves.objects}
    folder = work_folder.begin(_root(), dataset.name, context.run.run_id)
    try:
        collected = Collector(
            dataset,
            settings.mirror_of(dataset.name) or dataset.url,
            folder,
            known_of(memory.known(dataset.name), present),
            timeout=settings.git_timeout.total_seconds(),
            say=lambda text: context.log.info(redactor().redact(text)),
            reference=uploads_of(inbox, dataset.name),
        ).collect()
        shutil.rmtree(folder / "clone")
    except BaseException:
        work_folder.end(folder)
        raise
    return collected


def _publish(
    context: AssetExecutionContext,
    shelves: Shelves,
    collected: Collected,
    postgres: PostgresResource,
) -> Published:
    _require_flow()
    if collected.converted:
        work_folder.resume(collected.folder)
    try:
        return Publisher(
            shelves,
            DatasetObjects(postgres.inbox_address()),
            say=lambda text: context.log.info(redactor().redact(text)),
        ).publish(collected)
    finally:
        work_folder.end(collected.folder)


def _shelves(dataset: Dataset, platform_api: PlatformApiResource) -> Shelves:
    settings = given(process_settings().platform_api, PlatformApiSettings)
    return Shelves(platform_api.client(), str(settings.base_url), dataset)


def _root() -> Path:
    given_folder = process_settings().datasets.work_dir
    return Path(given_folder or Path.home() / DEFAULT_WORK_DIR)


def _require_flow() -> None:
    state = process_settings().flow(FLOW)
    if not state.is_on:
        raise SettingsError(state.why_off())


def _is_selected(context: AssetExecutionContext, key: AssetKey) -> bool:
    # None and empty both mean the whole job.
    selection = context.run.asset_selection
    return not selection or key in selection


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Let an error leave without a secret; unknown ones too."""
    try:
        yield
    except ModerateError as error:
        raise _failure(str(error)) from None
    except OSError as error:
        raise _failure(f"{type(error).__name__}: {error}") from None


def _failure(text: str) -> Failure:
    return Failure(redactor().redact(text), allow_retries=False)


_BUILT: Mapping[str, DatasetDefinitions] = {
    dataset.name: build(dataset) for dataset in DATASETS
}

dataset_assets: list[Any] = [
    each for built in _BUILT.values() for each in built.assets
]
dataset_jobs: list[Any] = [built.job for built in _BUILT.values()]
dataset_schedules = [built.schedule for built in _BUILT.values()]
