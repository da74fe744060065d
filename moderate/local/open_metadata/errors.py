"""The server's refusals, in its own words as far as they were recorded."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.responses import JSONResponse, PlainTextResponse, Response

from moderate.local.open_metadata.models import GENERATED

EXTRA = "extra_forbidden"
MISSING = "missing"
# Jackson says so instead of showing what was sent.
SOURCE = (
    "\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` "
    "disabled); line: {line}, column: {column}]"
)


class ApiError(Exception):
    """A request that is refused.

    Args:
        status: The HTTP status.
        message: What the body says.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    @property
    def response(self) -> Response:
        """The answer."""
        return JSONResponse(
            {"code": self.status, "message": self.message}, self.status
        )


class BrokenJsonError(ApiError):
    """A body that is no JSON, which alone is answered with plain text.

    Args:
        error: What is wrong.
    """

    def __init__(self, error: json.JSONDecodeError) -> None:
        place = SOURCE.format(line=error.lineno, column=error.colno)
        super().__init__(
            400,
            f"Unexpected end-of-input within/between Object entries{place}",
        )

    @property
    def response(self) -> Response:
        """The answer."""
        return PlainTextResponse(self.message, self.status)


def not_found(kind: str, name: object) -> ApiError:
    """What an unknown entity is answered with."""
    return ApiError(404, f"{kind} instance for {name} not found")


def no_such_path() -> ApiError:
    """What an unknown path is answered with."""
    return ApiError(404, "HTTP 404 Not Found")


def validate(body: Any, model: type[BaseModel]) -> None:
    """See that a body is what the framework's model says.

    Raises:
        ApiError: It is not.
    """
    try:
        model.model_validate(body)
    except ValidationError as error:
        raise translate(error, model) from error


def translate(error: ValidationError, model: type[BaseModel]) -> ApiError:
    """Say what is wrong with a create request as the server would.

    The place in the source is not the real one. Which error comes first does
    not depend on where it stands: the server's parser refuses unknown fields
    and values before anybody looks for what is missing.
    """
    found = error.errors(include_url=False)
    first = min(found, key=lambda one: _rank(str(one["type"])))
    loc = first["loc"]
    if first["type"] == MISSING:
        return MissingFieldError(".".join(map(str, loc)))
    if loc[:1] == ("connection",):
        # Not recorded; what was sent may hold a password.
        return ApiError(400, f"Failed to convert the {first['type']} at {loc}")
    place = SOURCE.format(line=1, column=1)
    chain = _chain(model, loc)
    if first["type"] == EXTRA:
        known = ", ".join(f'"{name}"' for name in model.model_fields)
        return ApiError(
            400,
            f'Unrecognized field "{loc[-1]}" (class {_java(model)}), not '
            f"marked as ignorable ({len(model.model_fields)} known "
            f"properties: {known}){place} (through reference chain: {chain})",
        )
    return ApiError(
        400,
        "Cannot construct instance of "
        f"`org.openmetadata.schema.type.{_type_of(loc)}`, problem: "
        f"{first['input']}{place} (through reference chain: {chain})",
    )


class MissingFieldError(ApiError):
    """A create request without a field that it must have.

    Args:
        field: Its name.
    """

    def __init__(self, field: str) -> None:
        super().__init__(400, f"[query param {field} must not be null]")
        #: What it says in a row of a bulk request.
        self.in_row = f"[{field} must not be null]"


def _rank(kind: str) -> int:
    return {EXTRA: 0, MISSING: 2}.get(kind, 1)


def _java(model: type[BaseModel]) -> str:
    package, _, _ = model.__module__.removeprefix(
        GENERATED.removesuffix("schema")
    ).rpartition(".")
    name = model.__name__.removesuffix("Request")
    return f"org.openmetadata.{package}.{name}"


def _chain(model: type[BaseModel], loc: Sequence[Any]) -> str:
    """The way to a field: `Create["columns"]->java.util.ArrayList[0]...`."""
    links = []
    owner = _java(model)
    for step in loc:
        if isinstance(step, int):
            links.append(f"java.util.ArrayList[{step}]")
            owner = "org.openmetadata.schema.type.Column"
        else:
            links.append(f'{owner}["{step}"]')
    return "->".join(links)


def _type_of(loc: Sequence[Any]) -> str:
    field = str(loc[-1])
    owner = "Column" if "columns" in loc else ""
    return f"{owner}{field[:1].upper()}{field[1:]}"
