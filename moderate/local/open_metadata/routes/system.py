"""What a client asks the server itself."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response

from moderate.local.open_metadata.errors import ApiError, not_found
from moderate.local.open_metadata.state import ServerDep

router = APIRouter(prefix="/api/v1")

FILE = Path(__file__).parent.parent / "test_connections.json"
SUFFIX = ".testConnectionDefinition"
Json = dict[str, Any]


@router.get("/system/version")
async def version(server: ServerDep) -> Json:
    """Say which version this is; the client may refuse it."""
    return {
        "version": server.settings.version,
        "revision": "e02f654e60fc07b46ac15345d1e93283440599d6",
        "timestamp": server.started_at,
    }


@router.get("/system/settings/{name}")
async def settings(name: str) -> Json:
    """Show a setting; not recorded, so none is set."""
    if name == "profilerConfiguration":
        return {
            "config_type": name,
            "config_value": {"metricConfiguration": []},
        }
    raise ApiError(404, f"settings instance for {name} not found")


@router.get("/services/testConnectionDefinitions/name/{fqn}")
async def test_connection(
    server: ServerDep, response: Response, fqn: str
) -> Json:
    """Show which steps the test of a connection has."""
    name = fqn.removesuffix(SUFFIX)
    recorded = _recorded().get(name)
    if recorded is None or not fqn.endswith(SUFFIX):
        raise not_found("testConnectionDefinition", fqn)
    response.headers["ETag"] = f'"{server.started_at:016x}"'
    number = "00000000-0000-4000-8000-000000000000"
    base = f"{server.settings.href_base}/v1/services"
    return {
        "id": number,
        "name": name,
        "fullyQualifiedName": fqn,
        **recorded,
        "version": 0.1,
        "updatedAt": server.started_at,
        "updatedBy": "admin",
        "href": f"{base}/testConnectionDefinitions/{number}",
        "deleted": False,
    }


@cache
def _recorded() -> dict[str, Json]:
    """What was recorded, by the kind of source."""
    recorded: dict[str, Json] = json.loads(FILE.read_text())
    return recorded
