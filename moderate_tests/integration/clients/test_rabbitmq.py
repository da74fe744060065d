"""Messages are taken, acknowledged and published, or it is said why not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pydantic import SecretStr

from moderate.clients.errors import CredentialsRejected
from moderate.clients.rabbitmq import (
    MOST_MESSAGES,
    Batch,
    Rabbit,
    Timeouts,
)
from moderate.errors import TemporaryError
from moderate.local.services.rabbitmq import RabbitMQ
from moderate_tests.integration.clients.accounts import account, control
from moderate_tests.integration.clients.proxy import Proxy, proxied

pytestmark = pytest.mark.services

QUICK = Timeouts(connect=4, operation=2)
"""Long for a busy machine's broker, short for one that says nothing."""
MEGABYTE = 1_000_000

given_up = pytest.mark.timeout(25, func_only=True)
"""Shorter than the heartbeat, which would notice silence in the end too."""


@pytest.fixture
def admin(rabbitmq: RabbitMQ) -> Iterator[BlockingChannel]:
    """A plain pika channel, beside the client under test."""
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.url))
    yield connection.channel()
    connection.close()


@pytest.fixture
def queue(admin: BlockingChannel) -> Iterator[str]:
    name = f"test-{uuid4()}"
    admin.queue_declare(name, durable=True)
    yield name
    if admin.is_open:
        admin.queue_delete(name)


@pytest.fixture
def rabbit(rabbitmq: RabbitMQ) -> Rabbit:
    return Rabbit(SecretStr(rabbitmq.url))


@pytest.fixture
def proxy(rabbitmq: RabbitMQ) -> Iterator[Proxy]:
    url = urlsplit(rabbitmq.url)
    assert url.hostname
    assert url.port
    with proxied(url.hostname, url.port) as running:
        yield running


@pytest.fixture
def through_proxy(rabbitmq: RabbitMQ, proxy: Proxy) -> Rabbit:
    return Rabbit(changed(rabbitmq.url, port=proxy.port), timeouts=QUICK)


def changed(
    url: str,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    password: str | None = None,
    path: str = "/%2F",
) -> SecretStr:
    parts = urlsplit(url)
    login = f"{parts.username}:{password or parts.password}"
    netloc = f"{login}@{host}:{port or parts.port}"
    return SecretStr(urlunsplit((parts.scheme, netloc, path, "", "")))


def put(admin: BlockingChannel, queue: str, *bodies: bytes) -> None:
    """Publish as the platform does, and wait until the queue has all."""
    before = waiting(admin, queue)
    for body in bodies:
        admin.basic_publish("", queue, body)
    until = time.monotonic() + 60
    while waiting(admin, queue) < before + len(bodies):
        assert time.monotonic() < until
        admin.connection.sleep(0.01)


def waiting(admin: BlockingChannel, queue: str) -> int:
    return int(admin.queue_declare(queue, passive=True).method.message_count)


def numbered(count: int) -> list[bytes]:
    return [str(n).encode() for n in range(count)]


def bodies(batch: Batch) -> list[bytes]:
    return [each.body for each in batch]


def test_an_empty_queue_gives_an_empty_batch(
    rabbit: Rabbit, queue: str
) -> None:
    with rabbit.channel() as channel:
        batch = channel.take(queue, limit=10)
        channel.ack(batch)
    assert not batch


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11])
def test_messages_come_oldest_first_and_up_to_the_limit(
    rabbit: Rabbit, queue: str, admin: BlockingChannel, count: int
) -> None:
    put(admin, queue, *numbered(count))
    with rabbit.channel() as channel:
        batch = channel.take(queue, limit=10)
    assert bodies(batch) == numbered(count)[:10]


def test_a_backlog_is_taken_batch_by_batch_and_is_gone_after(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    put(admin, queue, *numbered(250))
    taken: list[bytes] = []
    with rabbit.channel() as channel:
        while batch := channel.take(queue, limit=100):
            taken += bodies(batch)
            channel.ack(batch)
    assert taken == numbered(250)
    assert waiting(admin, queue) == 0


def test_a_later_batch_may_be_smaller_than_the_first(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    put(admin, queue, *numbered(20))
    with rabbit.channel() as channel:
        for limit in (10, 3, 10):
            batch = channel.take(queue, limit=limit)
            assert len(batch) == min(limit, 10)
            channel.ack(batch)
            if limit == 10:
                continue
            assert bodies(batch) == numbered(13)[10:]
            break
    assert waiting(admin, queue) == 7


def test_what_was_not_acknowledged_comes_again_and_says_so(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    put(admin, queue, *numbered(5))
    with rabbit.channel() as channel:
        first = channel.take(queue, limit=2)
        channel.ack(first)
        channel.take(queue, limit=2)
    with rabbit.channel() as channel:
        again = channel.take(queue, limit=10)
    assert bodies(again) == numbered(5)[2:]
    assert again[0].redelivered
    assert not first[0].redelivered


def test_an_error_in_the_block_loses_nothing_and_is_not_hidden(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    put(admin, queue, *numbered(3))

    def fail() -> None:
        with rabbit.channel() as channel:
            channel.take(queue, limit=10)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with rabbit.channel() as channel:
        assert bodies(channel.take(queue, limit=10)) == numbered(3)


def test_big_messages_are_taken_up_to_the_byte_limit_and_none_is_lost(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    sent = [str(n).encode() * MEGABYTE for n in range(8)]
    put(admin, queue, *sent)
    with rabbit.channel() as channel:
        first = channel.take(queue, limit=100, max_bytes=2 * MEGABYTE)
        assert bodies(first) == sent[:2]
        channel.ack(first)
        second = channel.take(queue, limit=100, max_bytes=2 * MEGABYTE)
        assert bodies(second) == sent[2:4]
        channel.ack(second)
    with rabbit.channel() as channel:
        rest = channel.take(queue, limit=100)
    assert bodies(rest) == sent[4:]


def test_one_message_over_the_byte_limit_is_still_taken(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    """Else it would block the queue for ever."""
    put(admin, queue, b"x" * 10 * MEGABYTE, b"y")
    with rabbit.channel() as channel:
        batch = channel.take(queue, limit=10, max_bytes=1)
    assert [len(body) for body in bodies(batch)] == [10 * MEGABYTE]


def test_the_deadline_ends_taking_before_the_queue_does(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    put(admin, queue, *numbered(50))
    with rabbit.channel() as channel:
        batch = channel.take(queue, limit=50, deadline_seconds=0)
        assert bodies(batch) == numbered(1)
        channel.ack(batch)
        assert bodies(channel.take(queue, limit=50)) == numbered(50)[1:]


def test_a_batch_cannot_be_acknowledged_before_an_earlier_one(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    """The acknowledgement covers all tags below: it would lose the other."""
    put(admin, queue, *numbered(4))
    with rabbit.channel() as channel:
        channel.take(queue, limit=2, max_bytes=1)
        later = channel.take(queue, limit=2)
        with pytest.raises(ValueError, match="order of taking"):
            channel.ack(later)
    with rabbit.channel() as channel:
        assert bodies(channel.take(queue, limit=10)) == numbered(4)


def test_a_channel_takes_from_one_queue_only(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    put(admin, queue, *numbered(3))
    with rabbit.channel() as channel:
        channel.take(queue, limit=2)
        with pytest.raises(ValueError, match=f"takes from queue {queue}"):
            channel.take("other", limit=2)


@pytest.mark.parametrize("limit", [0, -1, MOST_MESSAGES + 1])
def test_the_limit_has_bounds(rabbit: Rabbit, queue: str, limit: int) -> None:
    with rabbit.channel() as channel, pytest.raises(ValueError, match="limit"):
        channel.take(queue, limit=limit)


def test_what_the_sender_says_of_a_message_is_kept(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    said = pika.BasicProperties(
        content_type="text/x", message_id="m1", headers={"h": [1, None]}
    )
    admin.basic_publish("", queue, b"\xff\x00", said)
    put(admin, queue, b"")
    with rabbit.channel() as channel:
        full, bare = channel.take(queue, limit=2)
    assert (full.body, full.content_type, full.message_id, full.headers) == (
        b"\xff\x00",
        "text/x",
        "m1",
        {"h": [1, None]},
    )
    assert (bare.body, bare.message_id, bare.headers) == (b"", None, {})


def test_a_connection_lost_before_the_ack_is_told_and_loses_nothing(
    through_proxy: Rabbit,
    proxy: Proxy,
    rabbit: Rabbit,
    queue: str,
    admin: BlockingChannel,
) -> None:
    put(admin, queue, *numbered(3))

    def lose() -> None:
        with through_proxy.channel() as channel:
            batch = channel.take(queue, limit=10)
            proxy.cut()
            channel.ack(batch)

    with pytest.raises(TemporaryError):
        lose()
    with rabbit.channel() as channel:
        assert bodies(channel.take(queue, limit=10)) == numbered(3)


@given_up
def test_an_ack_that_never_reached_the_broker_is_told_at_the_latest_in_the_end(
    through_proxy: Rabbit, proxy: Proxy, queue: str, admin: BlockingChannel
) -> None:
    put(admin, queue, *numbered(3))

    def lose() -> None:
        with through_proxy.channel() as channel:
            batch = channel.take(queue, limit=10)
            proxy.hold()
            channel.ack(batch)

    with pytest.raises(TemporaryError, match="close the channel"):
        lose()


@given_up
def test_a_broker_that_falls_silent_holds_no_operation_up(
    through_proxy: Rabbit, proxy: Proxy, queue: str
) -> None:
    """Heartbeats would notice after 30 s only, a tick has less."""

    def take() -> None:
        with through_proxy.channel() as channel:
            proxy.hold()
            channel.take(queue, limit=10, deadline_seconds=0)

    with pytest.raises(TemporaryError, match=r"no answer to .* in 2 s"):
        take()


@given_up
def test_a_silent_broker_holds_no_publication_up(
    through_proxy: Rabbit, proxy: Proxy, queue: str
) -> None:

    def publish() -> None:
        with through_proxy.channel() as channel:
            channel.publish_confirmed(queue, b"x")
            proxy.hold()
            channel.publish_confirmed(queue, b"y")

    with pytest.raises(TemporaryError, match=r"no answer to 'publish"):
        publish()


@given_up
def test_a_port_that_accepts_and_says_nothing_is_given_up(
    through_proxy: Rabbit, proxy: Proxy
) -> None:
    proxy.hold()
    with (
        pytest.raises(TemporaryError, match="connect"),
        through_proxy.channel(),
    ):
        pytest.fail("connected")


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 1), ("no.such.invalid", None)]
)
def test_a_broker_that_is_not_there_is_temporary(
    rabbitmq: RabbitMQ, host: str, port: int | None
) -> None:
    url = changed(rabbitmq.url, host=host, port=port)
    with (
        pytest.raises(TemporaryError, match="connect"),
        Rabbit(url, timeouts=QUICK).channel(),
    ):
        pytest.fail("connected")


def test_a_refused_account_is_told_without_its_password(
    rabbitmq: RabbitMQ,
) -> None:
    for url in (
        changed(rabbitmq.url, password="canary-wrong"),
        changed(rabbitmq.url, path="/no-such-vhost"),
        SecretStr("amqp://user:canary/x@host"),
        SecretStr("amqp://user@host"),
    ):
        with (
            pytest.raises(CredentialsRejected, match="RABBIT_URL") as caught,
            Rabbit(url).channel(),
        ):
            pytest.fail("connected")
        assert "canary" not in str(caught.value)


def test_a_missing_queue_is_declared_durable_without_arguments(
    rabbit: Rabbit, admin: BlockingChannel
) -> None:
    name = f"test-{uuid4()}"
    with rabbit.channel() as channel:
        assert channel.queue_length(name) is None
        assert channel.declare_durable(name) == 0
        assert channel.queue_length(name) == 0
    # The broker refuses a declaration that differs.
    admin.queue_declare(name, durable=True)
    admin.queue_delete(name)


def test_an_existing_queue_is_taken_as_it_is(
    rabbit: Rabbit, admin: BlockingChannel
) -> None:
    name = f"test-{uuid4()}"
    admin.queue_declare(name, arguments={"x-max-length": 10})
    put(admin, name, b"x")
    with rabbit.channel() as channel:
        assert channel.declare_durable(name) == 1
        assert bodies(channel.take(name, limit=10)) == [b"x"]
    admin.queue_delete(name)


def test_a_queue_that_vanishes_is_temporary(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    put(admin, queue, *numbered(3))

    def take() -> None:
        with rabbit.channel() as channel:
            channel.take(queue, limit=2)
            admin.queue_delete(queue)
            while True:  # Ends when the broker's word has arrived.
                channel.take(queue, limit=2)

    with pytest.raises(TemporaryError, match="NOT_FOUND"):
        take()


def test_a_published_message_is_persistent_and_carries_its_headers(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    with rabbit.channel() as channel:
        channel.publish_confirmed(queue, b"\x00x", headers={"why": "ü"})
        channel.publish_confirmed(queue, b"")
    _, properties, body = admin.basic_get(queue, auto_ack=True)
    assert (body, properties.headers, properties.delivery_mode) == (
        b"\x00x",
        {"why": "ü"},
        2,
    )
    assert waiting(admin, queue) == 1


def test_publishing_to_no_queue_is_told_and_the_next_works(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    with rabbit.channel() as channel:
        with pytest.raises(TemporaryError, match="Unroutable"):
            channel.publish_confirmed("no-such-queue", b"x")
        channel.publish_confirmed(queue, b"x")
    assert waiting(admin, queue) == 1


def test_rights_are_asked_for_and_nobody_notices(
    rabbit: Rabbit, queue: str, admin: BlockingChannel
) -> None:
    admin.basic_publish("", queue, b"job")
    with rabbit.channel() as channel:
        assert channel.may_read(queue) is True
        assert channel.may_read(f"no-{queue}") is None
        assert channel.may_publish() is True
        assert channel.queue_length(queue) == 1
    method, _, body = admin.basic_get(queue, auto_ack=True)
    assert (body, method.redelivered) == (b"job", False)


def test_rights_that_are_missing_are_said_one_by_one(
    rabbitmq: RabbitMQ, queue: str
) -> None:
    with (
        account(rabbitmq, write="^amq.default$", read="^$") as url,
        Rabbit(SecretStr(url)).channel() as channel,
    ):
        assert channel.queue_length(queue) == 0, "any account may look"
        assert channel.may_read(queue) is False
        assert channel.may_publish() is True
    with (
        account(rabbitmq, write="^$", read=".*") as url,
        Rabbit(SecretStr(url)).channel() as channel,
    ):
        assert channel.may_read(queue) is True
        assert channel.may_publish() is False


@contextmanager
def short_of_memory(rabbitmq: RabbitMQ) -> Iterator[None]:
    control(rabbitmq, "set_vm_memory_high_watermark", "0.000001")
    try:
        yield
    finally:
        control(rabbitmq, "set_vm_memory_high_watermark", "0.4")


def test_a_broker_short_of_memory_blocks_publishing_but_no_acknowledgement(
    rabbitmq: RabbitMQ, queue: str, admin: BlockingChannel
) -> None:
    put(admin, queue, *numbered(3))
    rabbit = Rabbit(SecretStr(rabbitmq.url), timeouts=QUICK)
    with rabbit.channel() as channel, short_of_memory(rabbitmq):
        batch = channel.take(queue, limit=10)
        with pytest.raises(TemporaryError, match="publish"):
            channel.publish_confirmed(queue, b"x")
        channel.ack(batch)
    with rabbit.channel() as channel:
        left = bodies(channel.take(queue, limit=10))
    # What was given up may arrive late.
    assert set(left) <= {b"x"}


def test_the_client_does_not_show_its_url() -> None:
    url = SecretStr("amqp://u:canary@h")
    assert "canary" not in repr(vars(Rabbit(url)))
