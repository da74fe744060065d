"""A tick says in one line what it did; a run says what it is for."""

import json
import re

import pytest
from dagster import SensorResult

from moderate.flows.matrix_profile.sensor import (
    matrix_profile_messages_sensor,
)
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.operations.conftest import Watched
from moderate_tests.ports import CLOSED_PORT

pytestmark = pytest.mark.services

# Switches the flow on; nothing of it is asked in a tick.
ELSEWHERE = {
    "S3_ACCESS_KEY_ID": "key",
    "S3_SECRET_ACCESS_KEY": "secret-of-s3",
    "S3_REGION": "here",
    "S3_BUCKET_NAME": "bucket",
    "API_USERNAME": "workflows",
    "API_PASSWORD": "secret-of-api",
    "API_BASE_URL": f"http://127.0.0.1:{CLOSED_PORT}",
    "MATRIX_PROFILE_JOB_IMAGE": "image",
    "MATRIX_PROFILE_JOB_TAG": "1.0",
}
PARTS = re.compile(r"intake [\d.]+ s, settling [\d.]+ s, requests [\d.]+ s$")


def message(number: int) -> bytes:
    """Return a job message as the platform publishes it."""
    return json.dumps(
        {
            "workflow_job_id": number,
            "analysis_variable": "value",
            "bucket": "moderate",
            "key": f"alice-assets/series-{number}.csv",
        }
    ).encode()


def publish(watched: Watched, *bodies: bytes) -> None:
    with watched.rabbit().channel() as channel:
        channel.declare_durable(watched.settings.matrix_profile.queue)
        for body in bodies:
            channel.publish_confirmed(
                watched.settings.matrix_profile.queue, body
            )


def tick(watched: Watched) -> SensorResult:
    with environment(ELSEWHERE):
        result = watched.evaluate(matrix_profile_messages_sensor)
    assert isinstance(result, SensorResult)
    return result


def said(result: SensorResult) -> str:
    assert result.skip_reason
    return str(result.skip_reason.skip_message)


def test_an_idle_tick_says_in_a_line_what_it_did_and_how_long_it_took(
    watched: Watched,
) -> None:
    line = said(tick(watched))
    assert "read 0, new 0, known 0, rejected 0" in line
    assert "dispatched 0, runs requested 0" in line
    assert PARTS.search(line)
    assert "\n" not in line


def test_a_tick_with_news_says_it_in_its_log_and_tags_its_runs(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(watched, message(1), message(1), message(2), b"null")
    (*requests,) = tick(watched).run_requests or ()
    logged = capsys.readouterr().err
    assert "read 4, new 3, known 1, rejected 1" in logged
    jobs = [r for r in requests if r.job_name == "matrix_profile_job"]
    assert [each.tags["moderate/flow"] for each in jobs] == [
        "matrix_profile"
    ] * len(jobs)
    assert {each.tags["workflow_job_id"] for each in jobs} <= {"1", "2"}
    assert all(each.tags["moderate/item"].isdigit() for each in jobs)
    assert jobs


def test_a_tick_that_only_asks_for_runs_says_so_too(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was read: the item was tried before and is due again."""
    publish(watched, message(1))
    tick(watched)
    watched.sql(
        "UPDATE work_item SET state = 'pending', failures = 1,"
        " batch_id = NULL, next_attempt_at = clock_timestamp();"
        "DELETE FROM batch"
    )
    capsys.readouterr()
    assert tick(watched).run_requests
    logged = capsys.readouterr().err
    assert "read 0, new 0, known 0, rejected 0" in logged
    assert "dispatched 1, runs requested 1" in logged
