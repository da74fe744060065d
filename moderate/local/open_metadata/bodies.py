"""How bodies of requests are read."""

import json
from typing import Any

from fastapi import Request

from moderate.local.open_metadata.errors import ApiError, BrokenJsonError

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"


async def read_json(request: Request, content_type: str = JSON) -> Any:
    """Read a JSON body.

    Args:
        request: Whose body.
        content_type: What it must be declared as.

    Raises:
        ApiError: It is declared as something else.
        BrokenJsonError: It is no JSON.
    """
    declared = request.headers.get("content-type", "").partition(";")[0]
    if declared.strip().lower() != content_type:
        raise ApiError(415, "HTTP 415 Unsupported Media Type")
    try:
        return json.loads(await request.body())
    except json.JSONDecodeError as error:
        raise BrokenJsonError(error) from error


async def read_object(request: Request) -> dict[str, Any]:
    """Read a JSON object; see ``read_json``."""
    body = await read_json(request)
    if isinstance(body, dict):
        return body
    raise ApiError(400, "Cannot deserialize value from Array value")


async def read_rows(
    request: Request, content_type: str = JSON
) -> list[dict[str, Any]]:
    """Read a JSON array of objects; see ``read_json``."""
    body = await read_json(request, content_type)
    if isinstance(body, list) and all(isinstance(row, dict) for row in body):
        return body
    raise ApiError(
        400, "Cannot deserialize value of type `java.util.ArrayList`"
    )
