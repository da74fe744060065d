"""Job messages: transient, and lost where there is no queue."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from moderate.local.services.rabbitmq import RabbitMQ
from moderate_tests.contract.platform_api.conftest import (
    Emulators,
    StartEmulator,
)
from moderate_tests.contract.platform_api.labels import covers
from moderate_tests.contract.platform_api.peer import ADMIN, OWNER, Peer


@dataclass(frozen=True)
class Office:
    """An emulator with a queue of its own and an object to work on."""

    peer: Peer
    queue: str
    uploaded: Any
    channel: BlockingChannel

    def post_job(self) -> Any:
        arguments = {
            "uploaded_s3_object_id": self.uploaded["id"],
            "analysis_variable": "a",
        }
        body = {"job_type": "matrix_profile", "arguments": arguments}
        return self.peer.ask(OWNER, "POST", "/job", json=body)

    def fate(self, job_id: int) -> str:
        messages = self.peer.control("GET", "ledger")["messages"]
        (fate,) = [m["fate"] for m in messages if m["job_id"] == job_id]
        return str(fate)


@pytest.fixture(scope="module")
def office(
    emulators: Emulators, request: pytest.FixtureRequest
) -> Iterator[Office]:
    rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
    queue = f"jobs-{uuid.uuid4().hex}"
    parameters = pika.URLParameters(rabbitmq.url)
    with (
        emulators(queue=queue, job_debounce_seconds="0") as (_, peer),
        pika.BlockingConnection(parameters) as connection,
    ):
        asset = peer.post(OWNER, "/asset", json={"name": "office"})
        uploaded = peer.upload(OWNER, asset["id"], "series.csv")
        yield Office(peer, queue, uploaded, connection.channel())


@covers("job.create.rabbitmq_message")
def test_a_job_is_announced_by_a_transient_message(office: Office) -> None:
    office.channel.queue_declare(office.queue, durable=True)

    job = office.post_job().json()

    method, properties, body = office.channel.basic_get(
        office.queue, auto_ack=True
    )
    assert method is not None
    assert (method.exchange, method.routing_key) == ("", office.queue)
    assert properties.delivery_mode == 1
    assert properties.content_type is None
    assert properties.message_id
    assert json.loads(body) == {
        "workflow_job_id": job["id"],
        "analysis_variable": "a",
        "bucket": office.uploaded["bucket"],
        "key": office.uploaded["key"],
    }
    assert office.fate(job["id"]) == "published"


def test_without_a_queue_the_job_is_taken_and_the_message_lost(
    office: Office,
) -> None:
    office.channel.queue_delete(office.queue)

    posted = office.post_job()

    assert posted.status_code == 200
    assert office.fate(posted.json()["id"]) == "unroutable"
    office.channel.queue_declare(office.queue, durable=True)
    assert office.channel.basic_get(office.queue) == (None, None, None)


def test_messages_can_be_lost_on_demand(office: Office) -> None:
    office.channel.queue_declare(office.queue, durable=True)
    office.peer.control("PUT", "faults", json={"drop_messages": 1})

    lost, arrived = (office.post_job().json()["id"] for _ in range(2))

    assert office.fate(lost) == "suppressed"
    assert office.fate(arrived) == "published"
    _, _, body = office.channel.basic_get(office.queue, auto_ack=True)
    assert body is not None
    assert json.loads(body)["workflow_job_id"] == arrived


def test_a_job_that_is_refused_for_its_object_uses_up_an_id(
    office: Office,
) -> None:
    """So the ids of jobs have gaps, and a 404 is not the end of them."""
    before = office.post_job().json()["id"]
    arguments = {"uploaded_s3_object_id": 99_999_999, "analysis_variable": "a"}
    body = {"job_type": "matrix_profile", "arguments": arguments}
    refused = office.peer.ask(OWNER, "POST", "/job", json=body)
    assert refused.status_code == 404

    after = office.post_job().json()["id"]

    assert after == before + 2
    gap = office.peer.ask(ADMIN, "GET", f"/job/{before + 1}")
    assert gap.status_code == 404


def test_without_a_broker_there_is_an_error_and_no_job(
    start_emulator: StartEmulator,
) -> None:
    _, peer = start_emulator(rabbit_url="amqp://127.0.0.1:1/%2F")
    arguments = {"uploaded_s3_object_id": 1, "analysis_variable": "a"}
    body = {"job_type": "matrix_profile", "arguments": arguments}

    answer = peer.ask(ADMIN, "POST", "/job", json=body)

    assert answer.status_code == 500
    assert answer.text == "Internal Server Error"
    listed = peer.ask(ADMIN, "GET", "/job")
    assert listed.headers["x-total-count"] == "0"


def test_without_s3_reading_a_job_is_an_error(
    start_emulator: StartEmulator,
) -> None:
    _, peer = start_emulator(s3_endpoint_url="http://127.0.0.1:1")

    answer = peer.ask(ADMIN, "GET", "/job")

    assert answer.status_code == 500
    assert answer.text == "Internal Server Error"
    # What does not touch S3 goes on.
    assert peer.ask(ADMIN, "GET", "/asset").status_code == 200
