"""The platform's job is told once how it ended, whatever the platform does.

The emulator's ledger counts what was told. A message that is rejected but
names its job makes a final word without an analysis.
"""

import json
from datetime import timedelta

import pytest
from pydantic import SecretStr

from moderate import resources
from moderate.clients.http import Timeouts
from moderate.clients.platform_api import PlatformApi
from moderate.clients.platform_models import Job, JobResults
from moderate.inbox import admin
from moderate.inbox.model import State, WorkItem
from moderate.local.ports import free_port
from moderate_tests.integration.flows.platform import (
    WORDS,
    Service,
    environment,
)

pytestmark = [
    pytest.mark.services,
    pytest.mark.usefixtures("stand_in_analysis"),
]

OTHERS = "somebody else's word"


def post_rejected_job(service: Service) -> Job:
    """Post a job whose message can't be used."""
    service.faults(drop_messages=1)
    job = service.post_job()
    service.publish(json.dumps({"workflow_job_id": job.id}).encode())
    return job


def tell(service: Service) -> None:
    """Let the waiting words be told."""
    service.let_waiting_be_due()
    service.tick_and_carry_out()


def drop_by_hand(service: Service, item: WorkItem) -> None:
    inbox = service.inbox
    with inbox.transaction() as conn:
        assert admin.drop_item(
            conn, inbox.kinds, item.id, who="anna", why="not needed"
        )


def hangs(service: Service) -> None:
    service.faults(routes=[{"prefix": "/job/", "hang": True}])


def test_a_word_is_told_by_the_run_that_ends_the_item(
    service: Service,
) -> None:
    job = service.post_job()
    service.tick_and_carry_out()
    assert len(service.patches(job)) == 1
    assert service.word().outcome == {"told": "told", "note": "told"}


@pytest.mark.parametrize(
    ("status", "reason"),
    [(500, "500"), (503, "503"), (401, "check API_BASE_URL"), (429, "429")],
)
def test_a_platform_that_fails_is_told_later(
    service: Service, status: int, reason: str
) -> None:
    job = service.post_job()
    service.patch_fails(status)
    (run,) = service.tick_and_carry_out()
    assert run.success, "the analysis is done, whoever knows it"
    assert service.item().state == State.DONE
    word = service.word()
    assert (word.state, word.failures) == (State.PENDING, 1)
    assert reason in str(word.last_error)
    service.faults()
    tell(service)
    assert service.word().state == State.DONE
    assert len(service.patches(job)) == 1


def test_a_platform_that_asks_for_a_pause_gets_it(service: Service) -> None:
    service.post_job()
    service.patch_fails(429, retry_after_seconds=600)
    service.tick_and_carry_out()
    word = service.word()
    wait = word.next_attempt_at - word.updated_at
    assert wait >= timedelta(seconds=599)


def test_a_platform_that_hangs_is_told_later(
    service: Service,
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = post_rejected_job(service)
    impatient = PlatformApi(
        settings["API_BASE_URL"],
        settings["API_USERNAME"],
        SecretStr(settings["API_PASSWORD"]),
        timeouts=Timeouts(read=2),
    )
    monkeypatch.setattr(resources, "platform_api_client", lambda _: impatient)
    with impatient:
        hangs(service)
        service.tick_and_carry_out()
        assert "ReadTimeout" in str(service.word().last_error)
        service.faults()
        tell(service)
    assert len(service.patches(job)) == 1


def test_a_platform_that_is_down_is_told_later(service: Service) -> None:
    job = post_rejected_job(service)
    with environment({"API_BASE_URL": f"http://127.0.0.1:{free_port()}"}):
        service.tick_and_carry_out()
    assert service.word().state == State.PENDING
    tell(service)
    assert len(service.patches(job)) == 1


def test_a_word_whose_answer_got_lost_is_not_said_twice(
    service: Service,
) -> None:
    job = post_rejected_job(service)
    service.patch_fails(502, after_effect=True)
    service.tick_and_carry_out()
    assert service.word().state == State.PENDING
    service.faults()
    tell(service)
    assert service.word().outcome == {
        "told": "already",
        "note": "the job had this result already",
    }
    assert len(service.patches(job)) == 1


def test_a_job_that_the_platform_does_not_know_is_a_dead_word(
    service: Service,
) -> None:
    service.publish(b'{"workflow_job_id": 123456}')
    service.tick_and_carry_out()
    word = service.word()
    assert word.state == State.DEAD
    assert "has no job 123456" in str(word.last_error)


def test_a_job_that_somebody_else_ended_keeps_that_end(
    service: Service,
) -> None:
    job = post_rejected_job(service)
    others = JobResults(workflow_job_id=job.id, error=OTHERS)
    service.as_user("workflows").finalise_job(job.id, others)
    service.tick_and_carry_out()
    assert [told["error"] for told in service.patches(job)] == [OTHERS]
    assert service.word().outcome == {
        "told": "kept",
        "note": "the job had another result, which stays",
    }


def test_a_retry_by_hand_replaces_the_word(service: Service) -> None:
    job = service.post_job("bad-once")
    service.tick_and_carry_out()
    item = service.item()
    assert item.state == State.DEAD
    assert service.retry_by_hand(item)
    service.tick_and_carry_out()
    assert service.item().state == State.DONE
    first, second = service.patches(job)
    assert first["error"]
    assert second["error"] is None
    assert service.results(job) == second


def test_a_word_that_a_retry_overtook_is_not_told(service: Service) -> None:
    job = service.post_job("bad-once")
    service.patch_fails(503)
    service.tick_and_carry_out()
    service.faults()
    assert service.retry_by_hand(service.item())
    service.let_waiting_be_due()
    for run in service.tick_and_carry_out():
        assert run.success
    tell(service)
    (told,) = service.patches(job)
    assert told["error"] is None
    assert [word.state for word in service.items(WORDS)] == [
        State.DONE,
        State.DONE,
    ]


def test_a_word_waits_while_it_is_open_whether_it_stands(
    service: Service,
) -> None:
    """A retry that is dropped before it began leaves the first word true."""
    job = service.post_job("bad")
    service.patch_fails(503)
    service.tick_and_carry_out()
    service.faults()
    assert service.retry_by_hand(service.item())
    service.sql(
        "UPDATE work_item SET next_attempt_at = clock_timestamp() +"
        " CASE kind WHEN 'matrix_profile' THEN interval '1 hour'"
        " ELSE interval '0' END"
    )
    service.tick_and_carry_out()
    assert service.word().state == State.PENDING
    drop_by_hand(service, service.item())
    tell(service)
    assert service.word().state == State.DONE
    (told,) = service.patches(job)
    assert told["error"] == "the column is empty"


def test_words_travel_together_and_fail_apart(service: Service) -> None:
    jobs = [post_rejected_job(service) for _ in range(3)]
    service.publish(b'{"workflow_job_id": 123456}')
    (request,) = service.tick()
    assert request.tags["moderate/size"] == "4"
    (run,) = service.carry_out([request])
    assert run.success
    assert [len(service.patches(job)) for job in jobs] == [1, 1, 1]
    states = sorted(word.state for word in service.items(WORDS))
    assert states == [State.DEAD, State.DONE, State.DONE, State.DONE]


def test_a_cancelled_run_gives_its_words_back(service: Service) -> None:
    """Nobody may cancel a final word."""
    job = post_rejected_job(service)
    (request,) = service.tick()
    run = service.create_run(request)
    service.instance.report_run_canceled(run)
    service.let_hours_pass()
    service.tick_and_carry_out()
    assert len(service.patches(job)) == 1
