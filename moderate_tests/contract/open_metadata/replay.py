"""Replays recorded requests and compares the answers."""

from collections.abc import Iterable, Iterator

import httpx
import jwt

from moderate_tests.contract.open_metadata.recording import (
    Exchange,
    differences,
)

# Headers that clients look at.
HEADERS = ("content-type", "x-openmetadata-change", "etag")
SERVICE = {
    "name": "contract_errors",
    "serviceType": "Postgres",
    "connection": {
        "config": {
            "type": "Postgres",
            "username": "u",
            "hostPort": "db.example:1",
            "database": "shop",
        }
    },
}


def prepare(client: httpx.Client, service: str) -> None:
    """Make what the recording of errors found there."""
    for path, body in (
        ("services/databaseServices", {**SERVICE, "name": service}),
        ("databases", {"name": "shop", "service": service}),
        ("databaseSchemas", {"name": "hr", "database": f"{service}.shop"}),
    ):
        client.put(f"/api/v1/{path}", json=body).raise_for_status()


def replay(
    client: httpx.Client, token: str, exchanges: Iterable[Exchange]
) -> Iterator[str]:
    """Send what was sent and say what is answered otherwise.

    Args:
        client: Sends; its base URL is the server's.
        token: The bot's.
        exchanges: What was recorded, in order.
    """
    ids: dict[str, str] = {}
    for exchange in exchanges:
        answer = _send(client, token, exchange, ids)
        for difference in _compare(answer, exchange, ids):
            yield f"{exchange}: {difference}"


def _send(
    client: httpx.Client,
    token: str,
    exchange: Exchange,
    ids: dict[str, str],
) -> httpx.Response:
    path = exchange.path
    for recorded, here in ids.items():
        path = path.replace(recorded, here)
    headers = {
        "content-type": exchange.request_headers.get(
            "content-type", "application/json"
        ),
        "authorization": f"Bearer {_token(exchange, token)}",
    }
    if exchange.anonymous:
        del headers["authorization"]
    if "if-match" in exchange.request_headers:
        headers["if-match"] = exchange.request_headers["if-match"]
    body = exchange.request_body
    given: dict[str, object] = (
        {"content": body} if isinstance(body, str) else {"json": body}
    )
    return client.request(
        exchange.method,
        f"{path}?{exchange.query}",
        headers=headers,
        **({} if body is None else given),  # type: ignore[arg-type]
    )


def _token(exchange: Exchange, token: str) -> str:
    """Recordings have no tokens, but labels that tell of them."""
    header, claims, signature = token.split(".")
    if "garbage" in exchange.case:
        return "garbage"
    if "tampered" in exchange.case:
        return ".".join((header, claims, signature[::-1]))
    if "empty claims" in exchange.case:
        return jwt.encode({}, "k" * 32, algorithm="HS256")
    return token


def _compare(
    answer: httpx.Response, exchange: Exchange, ids: dict[str, str]
) -> Iterator[str]:
    if answer.status_code != exchange.status:
        yield f"status {answer.status_code}, not {exchange.status}"
    recorded = {"content-type": "application/json"} | dict(
        exchange.response_headers
    )
    for name in HEADERS:
        told = _header(name, answer.headers.get(name))
        expected = _header(name, recorded.get(name))
        if told != expected:
            yield f"header {name} is {told}, not {expected}"
    is_json = "json" in answer.headers.get("content-type", "")
    body = answer.json() if is_json else answer.text
    yield from differences(body, exchange.response_body, ids)


def _header(name: str, value: str | None) -> str | None:
    """What must agree of a header: of an ``ETag``, that there is one."""
    if value is None or name != "etag":
        return value and value.partition(";")[0]
    return "some"
