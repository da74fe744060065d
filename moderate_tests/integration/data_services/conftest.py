"""Runs of data services in this process, on local files and on S3."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    DagsterInstance,
    ExecuteInProcessResult,
    TableMetadataValue,
)

from moderate import resources, settings
from moderate.definitions import build_defs
from moderate.local.services.s3 import S3

Run = Callable[..., ExecuteInProcessResult]


def _forget() -> None:
    settings.process_settings.cache_clear()
    resources.redactor.cache_clear()


@pytest.fixture
def environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Set variables; a run after that sees them."""

    def change(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        _forget()

    change(DATA_SERVICES_SCRATCH_DIR=str(tmp_path / "scratch"))
    yield change
    monkeypatch.undo()
    _forget()


@pytest.fixture
def run(environment: Callable[..., None]) -> Iterator[Run]:
    """Run a job with the YAML that a person would type."""
    with DagsterInstance.ephemeral() as instance:

        def execute(job: str, config: str = "") -> ExecuteInProcessResult:
            return (
                build_defs()
                .resolve_job_def(job)
                .execute_in_process(
                    run_config=yaml.safe_load(config) or {},
                    instance=instance,
                    raise_on_error=False,
                )
            )

        yield execute


@pytest.fixture
def storage(s3: S3, environment: Callable[..., None]) -> Any:
    """A client of the S3 server that runs use."""
    environment(**s3.client_environment())
    return s3.client()


def failure_of(result: ExecuteInProcessResult) -> str:
    """Return what the run's page shows of the step that failed."""
    assert not result.success
    (event,) = [e for e in result.all_events if e.is_step_failure]
    data = event.step_failure_data
    assert data.user_failure_data is not None
    return str(data.user_failure_data.description)


def metadata_of(result: ExecuteInProcessResult, step: str) -> dict[str, Any]:
    (event,) = [
        e
        for e in result.all_events
        if e.is_successful_output and e.step_key == step
    ]
    found: dict[str, Any] = dict(event.step_output_data.metadata)
    return {
        name: (
            value
            if isinstance(value, TableMetadataValue)
            else getattr(value, "value", value)
        )
        for name, value in found.items()
    }
