"""Job messages, understood or kept: a pure plan of what to do with them."""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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

# An image's name and tag as registries take them. What else a text could
# hold (a second tag, a digest) must not slip through an allow-list.
_NAME_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = rf"^(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?{_NAME_PART}(?:/{_NAME_PART})*$"
_TAG = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"


class BadMessageError(PermanentError):
    """A message that can never become a job."""


_UNUSABLE = frozenset({"Cc", "Cs"})
"""Control characters and halves of surrogate pairs. Other odd ones stay:
column names in the wild begin with byte order marks and hold all sorts of
spaces."""


def _usable(text: str) -> str:
    if any(unicodedata.category(char) in _UNUSABLE for char in text):
        msg = "contains control characters"
        raise ValueError(msg)
    return text


def _text(longest: int) -> Any:
    return Annotated[
        str,
        Field(min_length=1, max_length=longest, strict=True),
        AfterValidator(_usable),
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
    image: Annotated[
        str | None, Field(max_length=500, pattern=_IMAGE, strict=True)
    ] = None
    tag: Annotated[
        str | None, Field(max_length=128, pattern=_TAG, strict=True)
    ] = None


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
        item = _understand(body, rule)
        items.append(item)
        if item.error:
            rejected.append(Rejected(body, item.error))
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
    return request_of(_document(body))


def request_of(document: Any) -> JobRequest:
    """Read a message's content, or the payload of an item.

    Raises:
        BadMessageError: Says what is wrong with it, in plain words.
    """
    try:
        return JobRequest.model_validate(document)
    except PydanticError as error:
        raise BadMessageError(_first_fault(error)) from error


def _understand(body: bytes, rule: ImageRule) -> NewItem:
    """Return the item of a message; one that is born dead says why."""
    try:
        request = parse(body)
    except BadMessageError as error:
        return _dead(_rest_of(body), str(error))
    try:
        rule.resolve(request)
    except BadMessageError as error:
        # With all that it asked for: once allowed, it can be tried again.
        return _dead(item_of(request), str(error))
    return item_of(request)


def _dead(item: NewItem, reason: str) -> NewItem:
    return replace(
        item,
        state=State.DEAD,
        error=f"message rejected: {reason}",
        outcome={"error": f"The job's message was rejected: {reason}"},
    )


def _rest_of(body: bytes) -> NewItem:
    """Keep of a message what can be told and shown of it.

    If its job is known it is that job's item, and the platform is told.
    """
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
