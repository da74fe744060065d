"""Jobs whose message the broker lost are done all the same."""

import pytest

from moderate.clients.http import HttpTemporaryError
from moderate.inbox.cursors import CorruptCursorError, forget_cursor
from moderate.inbox.model import State
from moderate_tests.integration.flows.platform import Service, environment

pytestmark = [
    pytest.mark.services,
    pytest.mark.usefixtures("stand_in_analysis"),
]


@pytest.fixture(autouse=True)
def no_grace(settings: dict[str, str]) -> None:
    settings["MATRIX_PROFILE_RECONCILE_GRACE_SECONDS"] = "0"


def delete_queue(service: Service) -> None:
    with service.rabbit().channel() as channel:
        channel._channel.queue_delete(service.queue)


def delete_object(service: Service, object_id: int) -> None:
    found = service.as_user("workflows").get_object(object_id)
    assert found
    owner = service.as_user("alice")
    path = f"/asset/{found.asset_id}/object/{object_id}"
    owner._http.request("DELETE", path)


def test_every_job_is_finished_although_messages_were_dropped(
    service: Service,
) -> None:
    """By the broker, and because there was no queue yet."""
    jobs = [service.post_job()]
    service.tick_and_carry_out()
    service.faults(drop_messages=2)
    jobs += [service.post_job() for _ in range(2)]
    delete_queue(service)
    jobs += [service.post_job() for _ in range(2)]
    assert "found 4 lost" in service.reconcile()
    while service.tick_and_carry_out():
        pass
    for job in jobs:
        (told,) = service.patches(job)
        assert told["error"] is None
        assert service.job(job.id).finalised_at
    assert "found 0 lost" in service.reconcile()


def test_a_job_that_may_still_have_its_message_is_left_alone(
    service: Service,
) -> None:
    service.faults(drop_messages=1)
    job = service.post_job()
    grace = {"MATRIX_PROFILE_RECONCILE_GRACE_SECONDS": "3600"}
    with environment(grace):
        said = service.reconcile()
    assert "found 0 lost" in said
    assert f"all below id {job.id} are settled" in said
    assert "found 1 lost" in service.reconcile(), "it was not passed"


def test_a_message_that_comes_after_all_is_the_same_item(
    service: Service,
) -> None:
    job = service.post_job()
    assert "found 1 lost" in service.reconcile()
    service.tick()
    assert service.item().key == str(job.id)
    assert service.waiting() == 0


def test_a_job_whose_object_is_gone_is_dead_and_told(
    service: Service,
) -> None:
    service.faults(drop_messages=1)
    job = service.post_job()
    assert job.object_id
    delete_object(service, job.object_id)
    service.reconcile()
    assert service.item().state == State.DEAD
    service.tick_and_carry_out()
    (told,) = service.patches(job)
    assert told["error"] == (
        "The analysis could not be started:"
        " the object that it names does not exist."
    )


def test_a_walk_that_fails_moves_nothing(service: Service) -> None:
    """What it saw before the failure is seen again."""
    service.faults(drop_messages=2)
    for _ in range(2):
        service.post_job()
    service.faults(
        routes=[{"prefix": "/job/2", "method": "GET", "status": 500}]
    )
    with pytest.raises(HttpTemporaryError, match="500"):
        service.reconcile()
    assert not service.items()
    service.faults()
    assert "found 2 lost" in service.reconcile()


def test_a_cursor_that_cant_be_read_names_the_command_that_mends_it(
    service: Service,
) -> None:
    service.faults(drop_messages=1)
    service.post_job()
    service.reconcile()
    service.sql("""UPDATE cursor SET value = '{"next_id": "soon"}'""")
    with pytest.raises(CorruptCursorError) as caught:
        service.reconcile()
    command = "moderate inbox forget-cursor matrix_profile.reconcile"
    assert command in str(caught.value)
    with service.inbox.transaction() as conn:
        assert forget_cursor(conn, "matrix_profile.reconcile")
    assert "found 0 lost" in service.reconcile(), "what is known stays known"
    assert len(service.items()) == 1
