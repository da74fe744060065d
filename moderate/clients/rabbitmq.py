"""Takes messages from RabbitMQ and publishes to it, with a bound on all.

One thread uses a ``Channel``, for as long as a ``with`` block lasts. What was
taken and not acknowledged when the block ends, however it ends, the broker
delivers again.

Each operation has a deadline after which the connection is cut. Heartbeats
alone don't do that: a broker that lives but doesn't answer (a memory alarm, a
replicated queue without its majority) keeps sending them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from uuid import uuid4

import pika
from pika.adapters.blocking_connection import (
    BlockingChannel,
    BlockingConnection,
)
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    AuthenticationError,
    ChannelClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)
from pydantic import SecretStr

from moderate.clients.errors import CredentialsRejected
from moderate.errors import TemporaryError

DEFAULT_MAX_BYTES = 64 * 1024 * 1024
"""Message bodies held in memory at once; one more message may exceed it."""

MOST_MESSAGES = 10_000
"""Most messages that one ``take`` may ask for."""

_ACCESS_REFUSED = 403
_NOT_FOUND = 404
_PRECONDITION_FAILED = 406
_PERSISTENT = 2
_REFUSED = (
    AuthenticationError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)


@dataclass(frozen=True)
class Timeouts:
    """Bounds in seconds.

    Attributes:
        connect: Until the connection, TLS and login included, stands.
        operation: Of each declaration, publication and acknowledgement.
        heartbeat: Interval after which a silent broker or client is given
            up; longer than what lies between ``take`` and ``ack``.
    """

    connect: float = 5.0
    operation: float = 10.0
    heartbeat: int = 30


@dataclass(frozen=True)
class Delivery:
    """One message as the broker delivered it.

    Attributes:
        tag: Its number on the channel.
        body: Whatever was sent; to be trusted in nothing.
        redelivered: It was delivered to somebody before.
        content_type: As its sender says.
        message_id: As its sender says.
        headers: As its sender says.
    """

    tag: int
    body: bytes = field(repr=False)
    redelivered: bool = False
    content_type: str | None = None
    message_id: str | None = None
    headers: Mapping[str, object] = field(default_factory=dict, repr=False)


Batch = Sequence[Delivery]
"""Deliveries of one ``take``, oldest first; empty when none was waiting."""


class Rabbit:
    """Knows where the broker is; each ``channel`` connects anew.

    Args:
        url: ``amqp://`` or ``amqps://``, with user, password and virtual
            host. The certificate is verified.
        timeouts: Bounds of all that is done.
    """

    def __init__(
        self, url: SecretStr, *, timeouts: Timeouts | None = None
    ) -> None:
        self._url = url
        self._timeouts = timeouts or Timeouts()

    @contextmanager
    def channel(self) -> Iterator["Channel"]:
        """Connect for the length of a block.

        The end of the block waits until the broker has closed the channel,
        so that an acknowledgement that got lost is told.

        Raises:
            TemporaryError: The broker can't be reached or hung up.
            CredentialsRejected: It refuses the user or the virtual host.
        """
        with ExitStack() as opened:
            connections = _Connections(self._url, self._timeouts, opened)
            channel = Channel(connections, self._timeouts)
            yield channel
            channel.close()


class _Connections:
    """Opens connections, and cuts what is still open in the end."""

    def __init__(
        self, url: SecretStr, timeouts: Timeouts, opened: ExitStack
    ) -> None:
        self._url = url
        self._timeouts = timeouts
        self._opened = opened

    def open(self) -> BlockingConnection:
        with _translated("connect"):
            connection = BlockingConnection(self._parameters())
        self._opened.callback(_cut, connection)
        return connection

    def _parameters(self) -> pika.URLParameters:
        try:
            parameters = pika.URLParameters(self._url.get_secret_value())
        except (TypeError, ValueError):
            # The reason may quote a part of the password.
            msg = "the RabbitMQ URL cannot be understood; check RABBIT_URL"
            raise CredentialsRejected(msg) from None
        parameters.connection_attempts = 1
        parameters.retry_delay = 0
        parameters.socket_timeout = self._timeouts.connect
        parameters.stack_timeout = self._timeouts.connect
        parameters.blocked_connection_timeout = self._timeouts.operation
        parameters.heartbeat = self._timeouts.heartbeat
        return parameters


class Channel:
    """A connection's one channel; see ``Rabbit.channel``.

    Every method raises ``TemporaryError`` when the broker is slow, refuses
    or hangs up; the channel is of no more use then.
    """

    def __init__(self, connections: _Connections, timeouts: Timeouts) -> None:
        self._connections = connections
        self._timeouts = timeouts
        self._connection = connections.open()
        with self._operation("open a channel"):
            self._channel = self._connection.channel()
        self._publisher: BlockingChannel | None = None
        self._consumed: str | None = None
        self._acknowledged = 0

    def close(self) -> None:
        """Wait until the broker has processed all acknowledgements."""
        with self._operation("close the channel"):
            self._channel.close()
            self._connection.close()
        if self._publisher and self._publisher.is_open:
            publishing = self._publisher.connection
            with self._operation("close", connection=publishing):
                publishing.close()

    @property
    def server(self) -> str:
        """The broker's name and version, as it says itself."""
        told = self._connection._impl.server_properties or {}  # noqa: SLF001
        return f"{told.get('product', '')} {told.get('version', '')}".strip()

    def declare_durable(self, queue: str) -> int:
        """Make sure that a queue exists; return how many messages wait.

        An existing queue is taken as it is, whatever its arguments, so this
        can't clash with its owner. A missing one becomes durable, without
        arguments.
        """
        waiting = self.queue_length(queue)
        if waiting is not None:
            return waiting
        with self._operation(f"declare queue {queue}"):
            self._channel.queue_declare(queue, durable=True)
        return 0

    def queue_length(self, queue: str) -> int | None:
        """Return how many messages wait; ``None``: there is no such queue."""
        with self._operation(f"look at queue {queue}"):
            # A missing queue closes the channel that asked.
            channel = self._connection.channel()
            try:
                found = channel.queue_declare(queue, passive=True)
            except ChannelClosedByBroker as error:
                if error.reply_code == _NOT_FOUND:
                    return None
                raise
            channel.close()
            return int(found.method.message_count)

    def may_read(self, queue: str) -> bool | None:
        """Say whether we may consume a queue; ``None``: there is none.

        Nothing is delivered: the broker looks at our rights first, and then
        refuses a consumer whose priority is no number.
        """
        with self._operation(f"ask for our rights on queue {queue}"):
            channel = self._connection.channel()
            try:
                channel.basic_consume(
                    queue,
                    _leave,
                    arguments={"x-priority": "asked by moderate doctor"},
                )
            except ChannelClosedByBroker as error:
                if error.reply_code == _NOT_FOUND:
                    return None
                if error.reply_code == _ACCESS_REFUSED:
                    return False
                if error.reply_code == _PRECONDITION_FAILED:
                    return True
                raise
            channel.close()
            return True

    def may_publish(self) -> bool:
        """Say whether we may publish to queues by their names.

        Nobody gets what is published: it is for a queue that is not there.
        """
        with self._operation("ask for our right to publish"):
            channel = self._connection.channel()
            channel.confirm_delivery()
            try:
                channel.basic_publish(
                    "", f"moderate-doctor-{uuid4()}", b"", mandatory=True
                )
            except UnroutableError:
                channel.close()
            except ChannelClosedByBroker as error:
                if error.reply_code == _ACCESS_REFUSED:
                    return False
                raise
            return True

    def take(
        self,
        queue: str,
        *,
        limit: int,
        max_bytes: int = DEFAULT_MAX_BYTES,
        idle_seconds: float = 0.1,
        wait_seconds: float = 0.0,
        deadline_seconds: float = 10.0,
    ) -> Batch:
        """Take waiting messages, to be acknowledged as one.

        An empty queue costs one round trip. At most ``limit`` messages are on
        their way here at once; pika reads them from the socket only while it
        waits, so that what is held in memory stays near ``max_bytes``.

        Args:
            queue: Must exist; one channel takes from one queue.
            limit: Messages, at most ``MOST_MESSAGES``. The first that is
                given bounds what is unacknowledged at any time.
            max_bytes: No further message is taken once bodies reach this.
            idle_seconds: A queue that gives nothing for so long is empty.
            wait_seconds: How long the first message is waited for.
            deadline_seconds: No further message is taken after this.
        """
        if not 1 <= limit <= MOST_MESSAGES:
            msg = f"limit is {limit}, not 1 to {MOST_MESSAGES}"
            raise ValueError(msg)
        if self._consumed not in {None, queue}:
            msg = f"this channel takes from queue {self._consumed}"
            raise ValueError(msg)
        until = time.monotonic() + deadline_seconds
        batch: list[Delivery] = []
        size = 0
        with self._operation(f"take from queue {queue}", deadline_seconds):
            for delivery in self._arriving(
                queue, limit, idle_seconds, wait_seconds
            ):
                batch.append(delivery)
                size += len(delivery.body)
                if (
                    len(batch) == limit
                    or size >= max_bytes
                    or time.monotonic() > until
                ):
                    break
        return tuple(batch)

    def ack(self, batch: Batch) -> None:
        """Acknowledge a batch: the broker forgets its messages.

        Batches are acknowledged in the order in which they were taken: one
        frame then says it for the whole batch and for nothing else.

        Raises:
            ValueError: An earlier batch was not acknowledged.
        """
        if not batch:
            return
        if batch[0].tag != self._acknowledged + 1:
            msg = "batches are acknowledged in the order of taking"
            raise ValueError(msg)
        with self._operation("acknowledge"):
            self._channel.basic_ack(batch[-1].tag, multiple=True)
        self._acknowledged = batch[-1].tag

    def publish_confirmed(
        self,
        queue: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Publish a persistent message straight to a queue.

        Returns when the broker has taken it over. Uses a connection of its
        own: a broker short of memory blocks connections that publish, which
        must not hold back acknowledgements.

        Raises:
            TemporaryError: Also when the queue doesn't exist.
        """
        if self._publisher is None:
            connection = self._connections.open()
            with self._operation("publish", connection=connection):
                publisher = connection.channel()
                publisher.confirm_delivery()
            self._publisher = publisher
        with self._operation(
            f"publish to queue {queue}", connection=self._publisher.connection
        ):
            self._publisher.basic_publish(
                exchange="",
                routing_key=queue,
                body=body,
                mandatory=True,
                properties=pika.BasicProperties(
                    delivery_mode=_PERSISTENT, headers=dict(headers or {})
                ),
            )

    def _arriving(
        self,
        queue: str,
        limit: int,
        idle_seconds: float,
        wait_seconds: float,
    ) -> Iterator[Delivery]:
        """Yield messages until no more were waiting."""
        waiting = None
        if wait_seconds:
            first = self._await_one(queue, limit, wait_seconds)
            if first is None:
                return
            yield first
        elif not self._consumed:
            method, properties, body = self._channel.basic_get(queue)
            if method is None:
                return
            yield _delivery(method, properties, body)
            waiting = method.message_count
            if waiting == 0:
                return
            self._channel.basic_qos(prefetch_count=limit)
            self._consumed = queue
        for method, properties, body in self._channel.consume(
            queue, inactivity_timeout=idle_seconds
        ):
            if method is None:
                return
            yield _delivery(method, properties, body)
            waiting = waiting and waiting - 1
            if waiting == 0:
                return
        self._consumed = None  # The broker ended it: the queue is gone.

    def _await_one(
        self, queue: str, limit: int, seconds: float
    ) -> Delivery | None:
        """Wait for a message, and have the broker send those that follow."""
        if not self._consumed:
            self._channel.basic_qos(prefetch_count=limit)
            self._consumed = queue
        for method, properties, body in self._channel.consume(
            queue, inactivity_timeout=seconds
        ):
            return _delivery(method, properties, body) if method else None
        self._consumed = None  # The broker ended it: the queue is gone.
        return None

    @contextmanager
    def _operation(
        self,
        what: str,
        more_seconds: float = 0,
        *,
        connection: BlockingConnection | None = None,
    ) -> Iterator[None]:
        seconds = self._timeouts.operation + more_seconds
        with (
            _translated(what),
            _bounded(connection or self._connection, what, seconds),
        ):
            yield


def _delivery(
    method: pika.spec.Basic.GetOk | pika.spec.Basic.Deliver,
    properties: pika.BasicProperties,
    body: bytes,
) -> Delivery:
    return Delivery(
        tag=method.delivery_tag,
        body=body,
        redelivered=method.redelivered,
        content_type=properties.content_type,
        message_id=properties.message_id,
        headers=properties.headers or {},
    )


def _leave(*_: object) -> None:
    """Take no notice of a message; the end of the channel gives it back."""


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn whatever pika raises into one of our kinds."""
    try:
        yield
    except (AMQPError, AMQPConnectorException, OSError) as error:
        msg = f"RabbitMQ: {what}: {type(error).__name__}: {error}"
        if _is_refusal(error):
            msg = f"{msg}; check RABBIT_URL"
            raise CredentialsRejected(msg) from error
        raise TemporaryError(msg) from error


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, _REFUSED) or (
        isinstance(error, ChannelClosedByBroker)
        and error.reply_code == _ACCESS_REFUSED
    )


@contextmanager
def _bounded(
    connection: BlockingConnection, what: str, seconds: float
) -> Iterator[None]:
    """Cut the connection if the block lasts longer.

    pika's blocking connection has no timeout of its own for most calls, and
    its public timers don't run inside them. This is what its heartbeat
    checker does, on the same timers.
    """
    if connection.is_closed:
        yield  # Whatever the block does raises what it should.
        return
    late = AMQPConnectionError(f"no answer to {what!r} in {seconds:g} s")
    inner = connection._impl  # noqa: SLF001
    timer = inner._adapter_call_later(  # noqa: SLF001
        seconds,
        lambda: inner._terminate_stream(late),  # noqa: SLF001
    )
    try:
        yield
    finally:
        inner._adapter_remove_timeout(timer)  # noqa: SLF001


def _cut(connection: BlockingConnection) -> None:
    """Drop a connection without a word, if it is still open."""
    if connection.is_closed:
        return
    inner = connection._impl  # noqa: SLF001
    inner._terminate_stream(AMQPConnectionError("cut"))  # noqa: SLF001
    with suppress(AMQPError, OSError):
        # Runs until the socket is closed, whatever else is pending.
        connection._flush_output(lambda: False)  # noqa: SLF001
