"""Job messages, understood or kept: a pure plan of what to do with them."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic import ValidationError as PydanticError

from moderate.errors import PermanentError
from moderate.inbox.model import NewItem, State

KIND = "matrix_profile"
"""Kind of the work items; one per job of the platform."""

MAX_BYTES = 64 * 1024
"""A job message is some hundred bytes; more than this is none."""

KEPT_BYTES = 2_000
"""How much of a rejected message the inbox shows; all of it is in the dead
letter queue."""

MAX_JOB_ID = 2**31 - 1
"""The platform's ids are 32-bit; asking for a larger one is its error 500."""

REJECTED = "rejected"


class BadMessageError(PermanentError):
    """A message that can never become a job."""


def _printable(text: str) -> str:
    if not text.isprintable():
        msg = "contains characters that can't be printed"
        raise ValueError(msg)
    return text


def _text(longest: int) -> Any:
    return Annotated[
        str,
        Field(min_length=1, max_length=longest, strict=True),
        AfterValidator(_printable),
    ]


class JobRequest(BaseModel):
    """What a job message asks for; the payload of the work item.

    Source of the shape: the message that the platform API publishes on
    ``POST /job`` (``image`` and ``tag`` are ours, and optional).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    workflow_job_id: Annotated[int, Field(ge=1, le=MAX_JOB_ID, strict=True)]
    analysis_variable: _text(500)  # type: ignore[valid-type]
    bucket: _text(255)  # type: ignore[valid-type]
    key: _text(1024)  # type: ignore[valid-type]
    image: _text(500) | None = None  # type: ignore[valid-type]
    tag: _text(128) | None = None  # type: ignore[valid-type]


@dataclass(frozen=True)
class Rejected:
    """A message that is kept as it came, with the reason."""

    body: bytes
    reason: str


@dataclass(frozen=True)
class Plan:
    """What to do with the messages of a tick.

    Attributes:
        items: Rows of the inbox; those born dead are the rejected ones.
        rejected: What goes to the dead letter queue before it is
            acknowledged.
    """

    items: Sequence[NewItem]
    rejected: Sequence[Rejected]


@dataclass(frozen=True)
class ImageRule:
    """Which images a message may ask for.

    Attributes:
        image: The image that is run by default.
        tag: Its tag.
        allowed: Patterns of ``image:tag``.
    """

    image: str
    tag: str
    allowed: Sequence[str] = ()

    def resolve(self, request: JobRequest) -> str:
        """Return the image reference that runs for a request.

        Raises:
            BadMessageError: The message asks for one that is not allowed: a
                message must not choose what code we run.
        """
        default = f"{self.image}:{self.tag}"
        asked = f"{request.image or self.image}:{request.tag or self.tag}"
        if asked == default or any(
            fnmatchcase(asked, pattern) for pattern in self.allowed
        ):
            return asked
        msg = f"the image {asked} is not allowed"
        raise BadMessageError(msg)


def plan(bodies: Iterable[bytes], rule: ImageRule) -> Plan:
    """Turn message bodies into items, in order; no body breaks the rest."""
    items: list[NewItem] = []
    rejected: list[Rejected] = []
    for body in bodies:
        try:
            items.append(_accept(body, rule))
        except BadMessageError as error:
            rejected.append(Rejected(body, str(error)))
            items.append(_reject(body, str(error)))
    return Plan(items, rejected)


def item_of(request: JobRequest) -> NewItem:
    """Return the work item of a request."""
    return NewItem(
        KIND,
        str(request.workflow_job_id),
        request.model_dump(exclude_none=True),
    )


def parse(body: bytes) -> JobRequest:
    """Read a message.

    Raises:
        BadMessageError: Says what is wrong with it, in plain words.
    """
    try:
        return JobRequest.model_validate(_document(body))
    except PydanticError as error:
        raise BadMessageError(_first_fault(error)) from error


def _accept(body: bytes, rule: ImageRule) -> NewItem:
    request = parse(body)
    rule.resolve(request)
    return item_of(request)


def _reject(body: bytes, reason: str) -> NewItem:
    """Keep what can't be done; if its job is known, the platform is told."""
    digest = hashlib.sha256(body).hexdigest()
    job = _job_id(body)
    return NewItem(
        KIND,
        str(job) if job else f"{REJECTED}-{digest}",
        {
            "workflow_job_id": job,
            "bytes": len(body),
            "sha256": digest,
            "excerpt": repr(body[:KEPT_BYTES])[2:-1],
        },
        State.DEAD,
        f"message rejected: {reason}",
        {"error": f"The job's message was rejected: {reason}"},
    )


def _document(body: bytes) -> Any:
    if len(body) > MAX_BYTES:
        msg = f"it has {len(body)} bytes, more than {MAX_BYTES}"
        raise BadMessageError(msg)
    try:
        return json.loads(body.decode())
    except UnicodeDecodeError as error:
        msg = f"it is not UTF-8 (byte {error.start})"
        raise BadMessageError(msg) from error
    except RecursionError as error:
        msg = "it is nested too deeply"
        raise BadMessageError(msg) from error
    except ValueError as error:
        msg = f"it is not JSON: {error}"
        raise BadMessageError(msg) from error


def _job_id(body: bytes) -> int | None:
    """Return whose job a rejected message is about, if it says so."""

    class OnlyId(BaseModel):
        workflow_job_id: Annotated[
            int, Field(ge=1, le=MAX_JOB_ID, strict=True)
        ]

    try:
        return OnlyId.model_validate(_document(body)).workflow_job_id
    except (BadMessageError, PydanticError):
        return None


def _first_fault(error: PydanticError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}" if where else detail["msg"]
