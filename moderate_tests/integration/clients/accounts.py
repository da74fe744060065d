"""Accounts at the broker that may do less than the service's own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from moderate.local import install
from moderate.local.services.rabbitmq import RabbitMQ

PASSWORD = "canary-of-an-account"


def control(rabbitmq: RabbitMQ, *arguments: str) -> None:
    """Call ``rabbitmqctl``."""
    # The system's own wrapper would become the system node's user.
    program = install.locate(install.RABBITMQ).parent / "rabbitmqctl"
    subprocess.run(
        [program, *arguments],
        env=rabbitmq.node_environment(),
        check=True,
        capture_output=True,
        timeout=120,
    )


@contextmanager
def account(rabbitmq: RabbitMQ, *, write: str, read: str) -> Iterator[str]:
    """Make an account for the length of a block; yield its URL.

    Args:
        rabbitmq: The broker.
        write: Pattern of what it may write.
        read: Pattern of what it may read.
    """
    name = f"account-{uuid4()}"
    control(rabbitmq, "add_user", name, PASSWORD)
    try:
        control(rabbitmq, "set_permissions", name, "^$", write, read)
        parts = urlsplit(rabbitmq.url)
        host = f"{name}:{PASSWORD}@{parts.hostname}:{parts.port}"
        yield urlunsplit(parts._replace(netloc=host))
    finally:
        control(rabbitmq, "delete_user", name)
