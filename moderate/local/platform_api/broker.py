"""Job messages to RabbitMQ, sent as the API sends them."""

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, UnroutableError

from moderate.local.platform_api.errors import server_error

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5
TRANSIENT = 1


class Broker:
    """The broker that jobs are announced on.

    The API opens a connection for every job that is posted, before it does
    anything else: with the broker down the answer is a 500 and there is no
    job. When the broker goes away between that and the message, there is a
    500 as well, and the job stays.

    Args:
        url: The broker's AMQP URL.
        queue: Where messages go.
    """

    def __init__(self, url: str, queue: str) -> None:
        self._parameters = pika.URLParameters(url)
        self._parameters.socket_timeout = TIMEOUT_SECONDS
        self._parameters.stack_timeout = TIMEOUT_SECONDS
        self._parameters.blocked_connection_timeout = TIMEOUT_SECONDS
        self._queue = queue

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Publisher"]:
        """Connect for one message.

        Raises:
            ApiError: The broker can't be reached.
        """
        try:
            publisher = await asyncio.to_thread(
                Publisher.connect, self._parameters, self._queue
            )
        except (AMQPError, OSError) as error:
            raise _failed(error) from error
        try:
            yield publisher
        finally:
            await asyncio.to_thread(publisher.close)


@dataclass(frozen=True)
class Publisher:
    """A connection that one message is sent on."""

    connection: pika.BlockingConnection
    channel: BlockingChannel
    queue: str

    @classmethod
    def connect(cls, parameters: pika.URLParameters, queue: str) -> Self:
        """Open a connection; this blocks."""
        connection = pika.BlockingConnection(parameters)
        channel = connection.channel()
        channel.confirm_delivery()
        return cls(connection, channel, queue)

    def close(self) -> None:
        """Close the connection if it is still open; this blocks."""
        try:
            if self.connection.is_open:
                self.connection.close()
        except (AMQPError, OSError) as error:
            log.info("the broker broke off: %r", error)

    async def publish(self, message: dict[str, Any]) -> bool:
        """Send a message.

        Returns:
            Whether there is a queue for it. The API does not look at that.

        Raises:
            ApiError: The broker broke off.
        """
        try:
            return await asyncio.to_thread(self._publish, message)
        except (AMQPError, OSError) as error:
            raise _failed(error) from error

    def _publish(self, message: dict[str, Any]) -> bool:
        properties = pika.BasicProperties(
            headers={},
            delivery_mode=TRANSIENT,
            priority=0,
            message_id=uuid.uuid4().hex,
        )
        try:
            self.channel.basic_publish(
                exchange="",
                routing_key=self.queue,
                body=json.dumps(message).encode(),
                properties=properties,
                mandatory=True,
            )
        except UnroutableError:
            return False
        return True


def _failed(error: Exception) -> Exception:
    log.warning("RabbitMQ failed: %r", error)
    return server_error()
