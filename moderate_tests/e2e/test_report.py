"""A message becomes a report, or a reason."""

from moderate.inbox.model import State
from moderate.local.services.s3 import OUTPUTS_BUCKET
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import LIVE

pytestmark = LIVE


def test_a_message_becomes_a_report_and_the_run_is_seen(live: Live) -> None:
    job = live.post()
    live.until_settled([job])
    results = live.results(job)
    assert results["output_bucket"] == OUTPUTS_BUCKET
    assert b"<html" in live.output(results["output_key"])
    (run,) = live.ui.runs_of(job)
    live.until(lambda: live.ui.run(run.id).is_over, "the run is over")
    assert live.ui.run(run.id).status == "SUCCESS"
    item = live.item(job)
    assert item
    assert run.job == "matrix_profile_job"
    assert run.tags["moderate/kind"] == "matrix_profile"
    assert run.tags["moderate/item"] == str(item["id"])
    assert run.tags["moderate/dispatch"] == "1"
    assert "batch_id" in run.config


def test_a_failing_job_ends_dead_with_its_reason_and_its_log(
    live: Live,
) -> None:
    job = live.post("no_such_column")
    live.until_settled([job])
    results = live.results(job)
    assert "no_such_column" in results["error"]
    assert b"no_such_column" in live.output(results["error_logs_key"])
    item = live.item(job)
    assert item
    assert item["state"] == State.DEAD
    assert "no_such_column" in item["last_error"]
    (run,) = live.ui.runs_of(job)
    live.until(lambda: live.ui.run(run.id).is_over, "the run is over")
    assert live.ui.run(run.id).status == "FAILURE"


def test_a_tick_that_finds_nothing_new_is_a_skip(live: Live) -> None:
    live.until_settled([])
    before = live.ui.ticks("matrix_profile_messages_sensor", 1)[0].timestamp
    tick = live.until(
        lambda: next(
            (
                each
                for each in live.ui.ticks("matrix_profile_messages_sensor")
                if each.timestamp > before and each.ended
            ),
            None,
        ),
        "a further tick",
    )
    assert tick.status == "SKIPPED"
    assert not tick.run_ids
