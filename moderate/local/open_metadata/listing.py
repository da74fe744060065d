"""How collections are listed: filters, fields, and pages."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from moderate.local.open_metadata.entity import EVERY, Entity
from moderate.local.open_metadata.errors import ApiError
from moderate.local.open_metadata.kinds import (
    DATABASE,
    DATABASE_SCHEMA,
    INGESTION_PIPELINE,
    SERVICES,
    STORED_PROCEDURE,
    TABLE,
    Kind,
)
from moderate.local.open_metadata.state import Server
from moderate.local.open_metadata.store import Store

Json = dict[str, Any]
DEFAULT_LIMIT = 10
MOST = 1_000_000
# The real server ignores the service there.
NOT_BY_SERVICE = (TABLE, STORED_PROCEDURE)


class Include(StrEnum):
    """Which entities are meant."""

    PRESENT = "non-deleted"
    DELETED = "deleted"
    ALL = "all"

    @classmethod
    def _missing_(cls, value: object) -> "Include":
        # Not recorded.
        raise ApiError(400, f"[query param include: {value} is unknown]")

    @property
    def deleted(self) -> bool | None:
        """As ``Store`` asks for it."""
        return None if self is Include.ALL else self is Include.DELETED


def asked_fields(kind: Kind, fields: str) -> frozenset[str]:
    """Return what ``fields=`` asks for.

    Raises:
        ApiError: There is no such field.
    """
    asked = frozenset(
        filter(None, (name.strip() for name in fields.split(",")))
    )
    for name in sorted(asked - kind.fields):
        raise ApiError(400, f"Invalid field name {name}")
    return asked | set(kind.starred) if EVERY in asked else asked


def page(server: Server, kind: Kind, query: Mapping[str, str]) -> Json:
    """Return a page of a collection, in the order of the names.

    Raises:
        ApiError: A parameter is wrong.
    """
    asked = asked_fields(kind, query.get("fields", ""))
    found = _select(server.store, kind, query)
    limit = _limit(query.get("limit"))
    first = _first(query, limit)
    shown = found[first : first + limit]
    paging: Json = {"total": len(found)}
    if limit and first + limit < len(found):
        paging["after"] = _cursor(first + limit)
    if first:
        paging["before"] = _cursor(first)
    return {
        "data": [
            server.view.show(each, asked, incremental=False) for each in shown
        ],
        "paging": paging,
    }


def _select(
    store: Store, kind: Kind, query: Mapping[str, str]
) -> list[Entity]:
    deleted = Include(query.get("include", Include.PRESENT)).deleted
    found = [
        each
        for each in _scope(store, kind, query)
        if each.kind is kind
        and deleted in (None, each.deleted)
        and _fits(each, query)
    ]
    return sorted(found, key=lambda each: (each.name, each.id))


def _scope(
    store: Store, kind: Kind, query: Mapping[str, str]
) -> Iterable[Entity]:
    """All that lies in what the query names; nothing if that isn't there."""
    for scope in (DATABASE_SCHEMA, DATABASE):
        if name := query.get(scope.name):
            found = store.find(scope, name, deleted=None)
            return found.descendants() if found else ()
    service = query.get("service")
    if service and kind not in (*NOT_BY_SERVICE, INGESTION_PIPELINE):
        for scope in SERVICES:
            if found := store.find(scope, service, deleted=None):
                return found.descendants()
        return ()
    return store.all(kind)


def _fits(entity: Entity, query: Mapping[str, str]) -> bool:
    """Whether an entity fits the patterns that the profiler sends.

    Not recorded; so in the client (``profiler.source.fetcher``) and in the
    server's published source.
    """
    by_full_name = query.get("regexFilterByFqn") == "true"
    excluding = query.get("regexMode") == "exclude"
    for kind in (DATABASE, DATABASE_SCHEMA, TABLE):
        pattern = query.get(f"{kind.name}Regex")
        meant = entity.enclosing(kind)
        if pattern and meant:
            name = meant.full_name if by_full_name else meant.name
            if bool(re.search(pattern, name)) is excluding:
                return False
    return True


def _limit(given: str | None) -> int:
    try:
        limit = DEFAULT_LIMIT if given is None else int(given)
    except ValueError as error:
        raise ApiError(404, "HTTP 404 Not Found") from error
    if limit < 0:
        reason = "greater than or equal to 0"
    elif limit > MOST:
        reason = f"less than or equal to {MOST}"
    else:
        return limit
    raise ApiError(400, f"[query param limit must be {reason}]")


def _first(query: Mapping[str, str], limit: int) -> int:
    if after := query.get("after"):
        return _offset(after)
    if before := query.get("before"):
        return max(0, _offset(before) - limit)
    return 0


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(str(offset).encode()).decode()


def _offset(cursor: str) -> int:
    try:
        return max(0, int(base64.urlsafe_b64decode(cursor)))
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, "Invalid cursor") from error
