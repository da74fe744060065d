"""The sensors that tell a webhook are off, and tell no secret."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dagster import (
    DagsterEvent,
    DagsterInstance,
    DefaultSensorStatus,
    ExecuteInProcessResult,
    RunStatusSensorDefinition,
    SkipReason,
    build_run_status_sensor_context,
)
from pydantic import SecretStr

from moderate.clients.webhook import ATTEMPTS, Webhook
from moderate.definitions import build_defs
from moderate.errors import PermanentError, TemporaryError
from moderate_tests.integration.operations.hook import (
    CANARY,
    Hook,
    listening,
)

NAMES = {"notify_success", "notify_failure", "notify_canceled"}


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as made:
        yield made


def sensors() -> dict[str, RunStatusSensorDefinition]:
    found = build_defs().get_repository_def().sensor_defs
    return {
        each.name: each
        for each in found
        if isinstance(each, RunStatusSensorDefinition) and each.name in NAMES
    }


def evaluate(name: str) -> Any:
    job = build_defs().resolve_job_def("data_processing_job")
    with DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance)
        context = build_run_status_sensor_context(
            sensor_name=name,
            dagster_event=success_of(result),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        )
        return sensors()[name](context)


def success_of(result: ExecuteInProcessResult) -> DagsterEvent:
    (event,) = [each for each in result.all_events if each.is_job_success]
    return event


def test_the_sensors_are_off_until_a_person_switches_them_on() -> None:
    found = sensors()
    assert set(found) == NAMES
    assert {each.default_status for each in found.values()} == {
        DefaultSensorStatus.STOPPED
    }


def test_a_webhook_is_told_how_a_run_ended(
    hook: Hook, environment: Callable[..., None]
) -> None:
    environment(NOTIFY_WEBHOOK_URL=hook.url)
    evaluate("notify_success")
    (told,) = hook.told
    assert told["status"] == "SUCCESS"
    assert told["job"] == "data_processing_job"
    assert told["business_operation"] == "DATA_PROCESSING"


def test_without_a_webhook_the_sensor_says_what_to_set(
    environment: Callable[..., None],
) -> None:
    said = evaluate("notify_success")
    assert isinstance(said, SkipReason)
    assert "NOTIFY_WEBHOOK_URL" in str(said.skip_message)


def test_a_webhook_that_is_down_is_tried_again(hook: Hook) -> None:
    hook.answers = [503, 429]
    Webhook(SecretStr(hook.url)).post({"text": "x"})
    assert len(hook.told) == ATTEMPTS


def test_errors_show_nothing_of_the_url(hook: Hook) -> None:
    hook.answers = [400]
    with pytest.raises(PermanentError) as refused:
        Webhook(SecretStr(hook.url)).post({})
    hook.answers = [500] * ATTEMPTS
    with pytest.raises(TemporaryError) as failed:
        Webhook(SecretStr(hook.url)).post({})
    with pytest.raises(PermanentError) as wrong:
        Webhook(SecretStr(f"ftp://{CANARY}")).post({})
    for caught in (refused, failed, wrong):
        assert CANARY not in str(caught.getrepr(style="native"))
