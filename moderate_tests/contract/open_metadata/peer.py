"""A server under test, and the entities that a test makes in it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

PREFIX = "moderate-contract-"
Json = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """A server under test.

    Attributes:
        client: Asks with the bot's token.
        stranger: Asks without one.
        token: The bot's.
        live: Whether it is a real server.
    """

    client: httpx.Client
    stranger: httpx.Client
    token: str
    live: bool

    def service(self) -> str:
        """Make a database service; its name has a dot in it."""
        name = f"{PREFIX}{uuid4().hex}.x"
        config = {
            "type": "Postgres",
            "username": "u",
            "hostPort": "db.example:1",
            "database": "shop",
        }
        body = {
            "name": name,
            "serviceType": "Postgres",
            "connection": {"config": config},
        }
        made = self.put("services/databaseServices", body)
        return str(made["fullyQualifiedName"])

    def schema(self) -> str:
        """Make a service, a database and a schema; returns its full name."""
        database = self.put(
            "databases", {"name": "shop", "service": self.service()}
        )
        schema = self.put(
            "databaseSchemas",
            {"name": "hr", "database": database["fullyQualifiedName"]},
        )
        return str(schema["fullyQualifiedName"])

    def get(self, path: str, **query: str | int) -> httpx.Response:
        """GET below ``/api/v1/``."""
        return self.client.get(f"/api/v1/{path}", params=query)

    def named(self, kind: str, name: str, **query: str) -> httpx.Response:
        """GET by full name."""
        return self.get(f"{kind}/name/{quote(name, safe='')}", **query)

    def put(self, path: str, body: Any) -> Json:
        """PUT below ``/api/v1/`` and return the answer.

        Raises:
            HTTPStatusError: It was refused.
        """
        answer = self.client.put(f"/api/v1/{path}", json=body)
        answer.raise_for_status()
        found: Json = answer.json()
        return found

    def patch(self, path: str, operations: list[Json]) -> httpx.Response:
        """PATCH below ``/api/v1/``."""
        return self.client.patch(
            f"/api/v1/{path}",
            json=operations,
            headers={"content-type": "application/json-patch+json"},
        )

    def delete(self, path: str, **query: str) -> httpx.Response:
        """DELETE below ``/api/v1/``."""
        return self.client.delete(f"/api/v1/{path}", params=query)


def table(name: str, schema: str, *columns: str, **more: Any) -> Json:
    """A create request of a table; its columns are integers."""
    return {
        "name": name,
        "databaseSchema": schema,
        "columns": [
            {"name": column, "dataType": "INT"} for column in columns or ("a",)
        ],
        **more,
    }
