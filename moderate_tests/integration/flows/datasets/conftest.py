"""A dataset with a repository of its own, and a platform."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from dagster import DagsterInstance

from moderate.flows.datasets import publish
from moderate.flows.datasets.sources import Dataset
from moderate.inbox.database import pool_of
from moderate.local import install
from moderate.local.services.platform_api import PlatformApi
from moderate.resources import inbox_address
from moderate.settings import process_settings
from moderate_tests.conftest import require
from moderate_tests.integration.flows.datasets.world import World
from moderate_tests.integration.flows.git_origin import Origin
from moderate_tests.integration.flows.platform import AsUser, environment


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
        world.faults()
        pool_of(inbox_address(process_settings())).close()
