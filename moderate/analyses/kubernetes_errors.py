"""What an API server's answers mean, in the three kinds of error.

401 and 403 are no fault of an item, whoever's it is: a person mends the Role
or the token, and items go on. But a 403 is also how a cluster's admission
says no to an object, and that it says of the object.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from moderate.analyses.launcher import (
    NoRoomError,
    RefusedError,
    UnreachableError,
)
from moderate.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from kubernetes.client import ApiException

MAX_MESSAGE_CHARS = 500

_FORBIDDEN = 403
_QUOTA = re.compile(r"exceeded quota")
_DENIED = re.compile(r"denied (the )?request")
"""What webhooks and admission policies say of an object."""


class ConflictError(TemporaryError):
    """The object was changed by another since it was read."""


class ExistsError(ConflictError):
    """An object of this name exists already."""


class GoneError(TemporaryError):
    """The version that a watch or a list was to go on from is forgotten."""


class NotFoundError(TemporaryError):
    """There is no such object."""


class BadRequestError(TemporaryError):
    """What was asked for can't be had of this object, or not yet."""


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn what the client raises into our kinds of error."""
    import urllib3  # noqa: PLC0415  # heavy together with the client
    from kubernetes.client import ApiException
    from kubernetes.config import ConfigException

    try:
        yield
    except ApiException as error:
        raise _error_of(error, path) from None
    except (
        urllib3.exceptions.HTTPError,
        ConfigException,
        LookupError,
        OSError,
        RecursionError,
        ValueError,
    ) as error:
        # A ValueError is an answer that was cut short, so no JSON; a
        # LookupError one of an encoding that nobody knows; a ConfigException
        # a token that is just being replaced.
        name = type(error).__name__
        msg = f"the Kubernetes API server can't be reached: {name}"
        raise UnreachableError(msg) from error


@contextmanager
def taken_apart() -> Iterator[None]:
    """Say what it means when an answer is not made as it should be.

    Answers are taken apart without a look at each part: the API server holds
    what it stores to its schema. Something between us and it may not.

    Raises:
        UnreachableError: It is not made so.
    """
    try:
        yield
    except (
        AttributeError,
        LookupError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        name = type(error).__name__
        msg = f"the Kubernetes API server's answer is none: {name}"
        raise UnreachableError(msg) from error


def _error_of(error: "ApiException", path: str) -> Exception:
    body = _status_of(error)
    said = str(body.get("message") or error.reason)[:MAX_MESSAGE_CHARS]
    text = f"Kubernetes API, {path}: {error.status} {said}"
    if body.get("reason") == "AlreadyExists":
        return ExistsError(text)
    if error.status == _FORBIDDEN:
        return _kind_of_refusal(said)(text)
    return _ERRORS.get(error.status, TemporaryError)(text)


def _kind_of_refusal(said: str) -> type[TemporaryError]:
    if _QUOTA.search(said):
        return NoRoomError
    return TemporaryError if _DENIED.search(said) else RefusedError


_ERRORS: Mapping[int, type[PermanentError] | type[TemporaryError]] = {
    400: BadRequestError,
    401: RefusedError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    413: PermanentError,
    422: PermanentError,
    **dict.fromkeys((0, 408, 425, 429, 500, 502, 503, 504), UnreachableError),
}


def _status_of(error: "ApiException") -> dict[str, Any]:
    with suppress(RecursionError, TypeError, ValueError):
        body = json.loads(error.body or "")
        if isinstance(body, dict):
            return body
    return {}
