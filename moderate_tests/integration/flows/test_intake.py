"""Messages become rows before they leave the broker; none is lost."""

import json
import os
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from dagster import DagsterRunStatus, SensorResult, SkipReason

from moderate.clients.rabbitmq import Channel
from moderate.errors import TemporaryError
from moderate.flows.matrix_profile.intake import Source, take_messages
from moderate.flows.matrix_profile.sensor import (
    matrix_profile_messages_sensor,
)
from moderate.flows.matrix_profile.wiring import source_of
from moderate.inbox import database
from moderate.inbox.database import InboxUnavailableError
from moderate.inbox.model import State, WorkItem
from moderate.local.ports import free_port
from moderate.settings import load_settings
from moderate_tests.integration.flows.platform import (
    WORDS,
    Service,
    environment,
)

pytestmark = pytest.mark.services

MEGABYTE = 1024 * 1024


def message(job: int, **more: object) -> bytes:
    request = {
        "workflow_job_id": job,
        "analysis_variable": "report",
        "bucket": "moderate",
        "key": "a.csv",
    }
    return json.dumps({**request, **more}).encode()


@pytest.fixture
def inbox_down(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings of an inbox that nobody serves, and little patience."""
    monkeypatch.setattr(database, "POOL_WAIT", timedelta(seconds=2))
    return {"POSTGRES_PORT": str(free_port())}


def take(
    service: Service, source: Source | None = None, *, looks: int = 1_000
) -> None:
    """Take what waits, with time for so many chunks."""
    left = iter(range(looks))
    take_messages(
        service.rabbit(),
        service.inbox,
        source or source_of(load_settings()),
        in_time=lambda: next(left, None) is not None,
    )


def rejected(service: Service) -> Sequence[WorkItem]:
    return [i for i in service.items() if i.state == State.DEAD]


def test_a_burst_becomes_rows_in_one_tick(service: Service) -> None:
    service.publish(*(message(job) for job in range(1, 121)))
    with environment({"MATRIX_PROFILE_PREFETCH": "50"}):
        requests = service.tick()
    assert len(service.items()) == 120
    assert service.waiting() == 0
    assert len(requests) == 2, "as many as there are slots"


def test_a_message_seen_before_is_the_same_row(service: Service) -> None:
    service.publish(message(7), message(7))
    service.tick()
    service.publish(message(7, analysis_variable="other"))
    service.tick()
    item = service.item()
    assert item.payload["analysis_variable"] == "report"
    assert service.waiting() == 0


def test_a_message_whose_row_was_committed_but_not_acknowledged_comes_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tick dies between the commit and the acknowledgement."""
    service.publish(message(7), b"null")

    def die(self: Channel, batch: object) -> None:
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr(Channel, "ack", die)
        with pytest.raises(SystemExit):
            take(service)
    before = service.items()
    assert len(before) == 2
    take(service)
    assert service.items() == before
    assert service.waiting() == 0


def test_a_message_that_was_not_committed_stays_with_the_broker(
    service: Service,
    inbox_down: dict[str, str],
) -> None:
    service.publish(message(7))
    with environment(inbox_down), pytest.raises(InboxUnavailableError):
        take(service)
    take(service)
    assert service.item().key == "7"


BAD = {
    b"\xff\xfe": "not UTF-8",
    b"{": "not JSON",
    b"null": "dictionary",
    b"[1]": "dictionary",
    b"": "not JSON",
    message(3, key=5): "key",
    message(4, image="evil/image"): "evil/image:0.1.0 is not allowed",
    b" " * (10 * MEGABYTE): "has 10485760 bytes",
}


def test_bad_messages_are_kept_with_their_reason_and_good_ones_go_on(
    service: Service,
) -> None:
    bad = list(BAD)
    service.publish(message(1), *bad, message(2))
    service.tick()
    assert service.waiting() == 0
    dead = {str(item.last_error) for item in rejected(service)}
    assert len(dead) == len(set(bad)) - 1, "null and [1] agree"
    for reason in BAD.values():
        assert any(reason in error for error in dead)
    alive = [i.key for i in service.items() if i.state != State.DEAD]
    assert alive == ["1", "2"]
    kept = service.dead_letters()
    assert [letter.body for letter in kept] == bad
    for letter, reason in zip(kept, BAD.values(), strict=True):
        assert reason in str(letter.headers["x-moderate-reason"])
        assert letter.headers["x-moderate-queue"] == service.queue
    told = sorted(
        word.payload["results"]["workflow_job_id"]
        for word in service.items(WORDS)
    )
    assert told == [3, 4], "whose job is named is told"


def test_what_was_rejected_shows_no_more_than_an_excerpt(
    service: Service,
) -> None:
    service.publish(b"\x00\xffx" * MEGABYTE)
    service.tick()
    payload = service.item().payload
    assert payload["bytes"] == 3 * MEGABYTE
    assert len(payload["excerpt"]) < 10_000


def test_queues_that_are_missing_are_declared(
    service: Service, settings: dict[str, str]
) -> None:
    """A message posted while there is no queue is dropped."""
    name = f"missing-{settings['INBOX_DATABASE']}"
    with environment({"MATRIX_PROFILE_QUEUE": name}):
        assert service.waiting(name) is None
        service.tick()
        assert service.waiting(name) == 0
        service.publish(message(7))
        service.tick()
    assert service.item().key == "7"


def without_broker() -> dict[str, str]:
    url = urlsplit(os.environ["RABBIT_URL"])
    dead = url._replace(
        netloc=f"{url.username}:{url.password}@127.0.0.1:{free_port()}"
    )
    return {"RABBIT_URL": dead.geturl()}


def test_what_is_due_is_dispatched_while_the_broker_is_down(
    service: Service,
) -> None:
    service.publish(*(message(job) for job in range(1, 4)))
    take(service)
    with environment(without_broker()):
        assert len(service.tick()) == 2


@pytest.mark.parametrize("wrong", ["down", "password"])
def test_a_broker_that_cant_be_reached_fails_the_tick_without_its_password(
    service: Service, wrong: str
) -> None:
    """A read that failed is not an empty queue."""
    password = urlsplit(os.environ["RABBIT_URL"]).password or ""
    url = os.environ["RABBIT_URL"]
    changed = (
        without_broker()
        if wrong == "down"
        else {"RABBIT_URL": url.replace(password, f"{password}-not")}
    )
    with environment(changed), pytest.raises(TemporaryError) as caught:
        service.tick()
    text = str(caught.value)
    assert "RabbitMQ" in text
    assert password not in text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_an_inbox_that_is_down_fails_the_tick_and_loses_nothing(
    service: Service, inbox_down: dict[str, str]
) -> None:
    service.publish(message(7))
    with environment(inbox_down), pytest.raises(InboxUnavailableError):
        service.tick()
    assert len(service.tick()) == 1


def test_a_tick_takes_no_more_than_its_bounds(service: Service) -> None:
    service.publish(*(message(job) for job in range(1, 31)))
    bounds = {
        "MATRIX_PROFILE_PREFETCH": "10",
        "MATRIX_PROFILE_MESSAGES_PER_TICK": "20",
    }
    with environment(bounds):
        service.tick()
        assert len(service.items()) == 20
        take(service, looks=0)
        assert len(service.items()) == 20, "no time was left"
        take(service, looks=1)
    assert len(service.items()) == 30


def test_ticks_that_overlap_take_each_message_once(service: Service) -> None:
    """Dagster abandons a tick at its deadline without stopping it."""
    service.publish(*(message(job) for job in range(1, 151)))
    service.publish(*(message(job) for job in range(1, 151)))
    found: list[Any] = []

    def tick() -> None:
        found.append(service.tick())

    with environment({"MATRIX_PROFILE_PREFETCH": "20"}):
        threads = [threading.Thread(target=tick) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 2
    service.tick()
    keys = [item.key for item in service.items()]
    assert sorted(map(int, keys)) == list(range(1, 151))
    running = [i for i in service.items() if i.state == State.DISPATCHED]
    assert len(running) == 2
    assert service.waiting() == 0


def test_a_request_is_repeated_under_its_run_key_until_a_run_binds(
    service: Service,
) -> None:
    service.publish(message(7))
    (first,) = service.tick()
    (again,) = service.tick()
    assert again.run_key == first.run_key
    run = service.create_run(first, DagsterRunStatus.STARTED)
    assert service.inbox.bind(service.item().batch_id or 0, run.run_id)
    assert not service.tick()


def test_a_tick_without_news_says_so(service: Service) -> None:
    result = service.evaluate(matrix_profile_messages_sensor)
    assert isinstance(result, SensorResult)
    assert isinstance(result.skip_reason, SkipReason)
    assert "read 0" in str(result.skip_reason.skip_message)
