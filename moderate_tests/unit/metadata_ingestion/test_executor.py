"""Where steps run, as the settings say."""

from collections.abc import Iterator
from typing import Any

import pytest
from dagster import in_process_executor

from moderate.flows.metadata_ingestion import job
from moderate.settings import process_settings


@pytest.fixture(autouse=True)
def _forget_settings() -> Iterator[None]:
    yield
    process_settings.cache_clear()


def test_steps_share_a_process_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("METADATA_EXECUTOR", raising=False)
    process_settings.cache_clear()
    assert job.executor() is in_process_executor


def test_pods_are_as_many_as_workers_and_end_with_their_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By itself Dagster begins a pod for every source at once."""
    monkeypatch.setenv("METADATA_EXECUTOR", "pods")
    monkeypatch.setenv("METADATA_WORKERS", "3")
    process_settings.cache_clear()
    schema: Any = job.executor().config_schema
    config = schema.resolve_config({}).value["config"]
    assert config["max_concurrent"] == 3
    assert config["enable_owner_references"] is True
