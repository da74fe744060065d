"""What a process of the workshop gets, and what it gives back.

All is pickled through a pipe: secrets are in no argument, no environment
that was not there before, and no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from moderate.inbox.metadata_sources import (
    Comments,
    Part,
    Source,
    Step,
)
from moderate.settings import LogFormat


@dataclass(frozen=True)
class Server:
    """The OpenMetadata server.

    Attributes:
        url: Its API, without the version.
        token: The ingestion bot's JWT.
    """

    url: str
    token: SecretStr


@dataclass(frozen=True)
class PostgresPlace:
    """Where a database is."""

    host: str
    port: int
    username: str
    password: SecretStr
    sslmode: str


@dataclass(frozen=True)
class LakePlace:
    """Where a prefix is."""

    bucket: str
    endpoint_url: str
    region: str
    access_key_id: str
    secret_access_key: SecretStr


@dataclass(frozen=True)
class Limits:
    """What a step may take.

    Attributes:
        memory: Bytes.
        seconds: From its process's begin to its end.
        sample_rows: Rows that a profile is made of.
    """

    memory: int
    seconds: float
    sample_rows: int


@dataclass(frozen=True)
class Logs:
    """How a process logs."""

    format: LogFormat
    level: str


@dataclass(frozen=True)
class Task:
    """One step of one source.

    Attributes:
        step: Which step.
        source: Of what.
        server: Where to.
        place: Where from.
        limits: What it may take.
        logs: How it logs.
        changed: Parts to bring over.
        whole: Whether that is all there is, and not a few.
        others: What else there is, where the server is to lose all that is
            neither; ``None``: it is to lose nothing but ``gone``.
        comments: Of the changed parts, as they were last brought over.
        gone: Parts that the server is to lose.
        vanished: Whether the source itself is gone.
        sample_data: Whether the server gets rows to show.
        store_connection: Whether the server gets to keep the connection.
    """

    step: Step
    source: Source
    server: Server
    place: PostgresPlace | LakePlace
    limits: Limits
    logs: Logs
    changed: Sequence[Part] = ()
    whole: bool = False
    others: Sequence[Part] | None = None
    comments: Comments = field(default_factory=dict)
    gone: Sequence[Part] = ()
    vanished: bool = False
    sample_data: bool = False
    store_connection: bool = False

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """All secrets in it."""
        place = self.place
        own = (
            place.password
            if isinstance(place, PostgresPlace)
            else place.secret_access_key
        )
        return (self.server.token, own)


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        written: Parts that the server has now.
        removed: Parts that it does not have any more.
        comments: Of what was sent, as they are now.
        notes: What a person should know.
        failed: What failed, by name, with the reason.
        error: Why the task as a whole failed; then nothing is certain but
            ``removed`` and what was told of before.
        requests: Requests that may have changed something on the server.
        seconds: Time on the clock.
        cpu_seconds: Time of processors.
        peak_bytes: The most memory that was resident.
    """

    written: Sequence[Part] = ()
    removed: Sequence[Part] = ()
    comments: Comments = field(default_factory=dict)
    notes: Sequence[str] = ()
    failed: Sequence[tuple[str, str]] = ()
    error: str | None = None
    requests: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = field(default=0)
