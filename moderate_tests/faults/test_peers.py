"""Peers are killed, restarted, slow, or answer with errors."""

from datetime import UTC, datetime
from typing import Any

import pytest

from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import LIVE, RUNS_AT_ONCE
from moderate_tests.faults.acts import (
    assert_done_once,
    kill_takers,
    post_long,
    release,
    start_takers,
    waiting_messages,
)
from moderate_tests.faults.nothing_lost import assert_nothing_lost
from moderate_tests.faults.workload import stand_in

pytestmark = LIVE


def test_messages_that_the_broker_dropped_are_found_again(live: Live) -> None:
    """They are transient: a restart of the broker loses them."""
    kill_takers(live)
    jobs = [live.post(stand_in()) for _ in range(2)]
    live.until(lambda: waiting_messages(live) == len(jobs), "messages wait")
    live.stack.rabbitmq.restart()
    assert waiting_messages(live) == 0
    assert not any(live.item(job) for job in jobs)
    start_takers(live)
    assert_nothing_lost(live, jobs)
    for job in jobs:
        assert_done_once(live, job)


def test_a_killed_postgres_loses_nothing_of_what_is_at_work(
    live: Live,
) -> None:
    jobs = post_long(live, 2)
    live.stack.postgres.kill()
    # They end while nobody can write it down.
    release(live)
    live.stack.postgres.start()
    assert_nothing_lost(live, jobs)
    assert live.stack.dead() == []
    for job in jobs:
        assert_done_once(live, job)


def test_a_platform_that_is_down_is_told_when_it_is_back(live: Live) -> None:
    (job,) = post_long(live, 1)
    live.stack.platform_api.kill()
    release(live)
    live.until(
        lambda: any(word["failures"] for word in words_of(live, job)),
        "telling the platform has failed",
    )
    live.stack.platform_api.start()
    assert_nothing_lost(live, [job])
    assert_done_once(live, job)


def words_of(live: Live, job: int) -> list[dict[str, Any]]:
    """Return the final words of a job's item."""
    item = live.item(job)
    assert item
    return live.words(item["id"])


def test_a_platform_that_answers_badly_is_told_once(live: Live) -> None:
    jobs = post_long(live, RUNS_AT_ONCE)
    failing, hurried, expired, mute = (f"/job/{job}" for job in jobs)
    answers: list[dict[str, Any]] = [
        {"prefix": failing, "method": "GET", "latency_ms": 3000, "count": 1},
        {"prefix": failing, "method": "PATCH", "status": 500, "count": 2},
        {
            "prefix": hurried,
            "method": "PATCH",
            "status": 429,
            "retry_after_seconds": 3,
            "count": 1,
        },
        {"prefix": expired, "method": "PATCH", "status": 401, "count": 1},
        {
            # It has heard the word, but the answer is lost.
            "prefix": mute,
            "method": "PATCH",
            "status": 502,
            "after_effect": True,
            "count": 1,
        },
    ]
    live.faults(routes=answers)
    release(live)
    assert_nothing_lost(live, jobs)
    for job in jobs:
        assert_done_once(live, job)
    left = live.active_faults()["routes"]
    assert [each["count"] for each in left] == [0] * len(answers)


@pytest.mark.full
def test_tokens_that_expire_do_not_keep_a_lost_job_from_being_found(
    live: Live,
) -> None:
    live.faults(drop_messages=1, token_lifetime_seconds=3)
    job = live.post(stand_in())
    live.faults(
        reject_tokens_issued_before=datetime.now(UTC).isoformat(),
        token_lifetime_seconds=3,
    )
    assert_nothing_lost(live, [job])
    assert_done_once(live, job)


def test_a_storage_that_is_down_delays_reports_and_loses_none(
    live: Live,
) -> None:
    (job,) = post_long(live, 1)
    live.stack.s3.kill()
    release(live)
    live.until(
        lambda: (live.item(job) or {})["failures"] > 0,
        "the report can't be stored",
    )
    live.stack.s3.start()
    assert_nothing_lost(live, [job])
    assert len(live.patches(job)) == 1
    assert live.results(job)["error"] is None
