"""A message becomes a report, or a reason; once."""

import pytest

from moderate.inbox.model import State
from moderate_tests.integration.flows.platform import Service

pytestmark = pytest.mark.services


def test_a_message_becomes_a_report_and_the_platform_is_told(
    service: Service,
) -> None:
    job = service.post_job("value")
    (run,) = service.tick_and_carry_out()
    assert run.success
    results = service.job(job.id).results
    assert results
    assert results["error"] is None
    assert results["output_key"].startswith(f"matrixprofile-{job.id}-")
    (item,) = service.items()
    assert item.state == State.DONE
    (word,) = service.items("platform_job_result")
    assert word.state == State.DONE


def test_an_unknown_variable_is_dead_and_the_platform_is_told_why(
    service: Service,
) -> None:
    job = service.post_job("nope")
    (run,) = service.tick_and_carry_out()
    assert not run.success
    results = service.job(job.id).results
    assert results
    assert "nope" in results["error"]
    assert "value" in results["error"]
    assert results["error_logs_key"]
    assert service.items()[0].state == State.DEAD
