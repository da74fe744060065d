"""Lists with filters, sorts and pages, with all their surprises.

Filters and sorts are JSON in the query. A filter's value is a text whose
looks decide its type: ``"123"`` is sent to the database as a number, and
against a column of text that is an error of the database.
"""

import contextlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query

from moderate.local.platform_api.errors import (
    database_error,
    detail,
    server_error,
)
from moderate.local.platform_api.storage import (
    HEAP,
    Row,
    Storage,
    Table,
    Type,
)

INT32_MAX = 2**31 - 1
TIME_PATTERN = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?([+-]\d{2}:\d{2}|Z)?"
)
BARE_LIST_PATTERN = re.compile(r"\w+(\s*,\s*\w+)+")
COMPARISONS = {
    "eq": "=",
    "ne": "<>",
    "lt": "<",
    "gt": ">",
    "lte": "<=",
    "gte": ">=",
}
MEMBERSHIPS = {"in": "IN", "nin": "NOT IN"}
NULL_TESTS = {"eq": "IS NULL", "ne": "IS NOT NULL"}
# Postgres' places for nulls.
DIRECTIONS = {"asc": "ASC NULLS LAST", "desc": "DESC NULLS FIRST"}

Limit = Annotated[int, Query(le=100)]


@dataclass(frozen=True)
class Condition:
    """A piece of SQL and its values."""

    sql: str
    values: tuple[Any, ...] = ()


ALL = Condition("TRUE")


@dataclass(frozen=True)
class ListQuery:
    """The query of a list endpoint, as it came."""

    offset: int
    limit: int
    filters: str | None
    sorts: str | None


async def list_query(
    offset: int = 0,
    limit: Limit = 100,
    filters: str | None = None,
    sorts: str | None = None,
) -> ListQuery:
    """A dependency that reads the query of a list endpoint."""
    return ListQuery(offset, limit, filters, sorts)


def list_rows(
    storage: Storage,
    table: Table,
    query: ListQuery,
    visible: Condition = ALL,
) -> tuple[list[Row], dict[str, str]]:
    """Read one page of a table.

    Args:
        storage: The database.
        table: What to list.
        query: Filters, sorts and page.
        visible: What the user may see of it.

    Returns:
        The rows, and the header with the count of the whole table, which
        neither filters nor visibility change.

    Raises:
        ApiError: The query can't be understood (400) or breaks the API or
            its database (500).
    """
    wanted = [_filter(table, one) for one in _parse(query.filters, "filter")]
    order = [_sort(table, one) for one in _parse(query.sorts, "sort")]
    if query.offset < 0 or query.limit < 0:
        raise database_error()
    conditions = (visible, *wanted)
    rows = storage.find(
        table,
        " AND ".join(f"({one.sql})" for one in conditions),
        [value for one in conditions for value in one.values],
        order=", ".join((*order, HEAP)),
        limit=query.limit,
        offset=query.offset,
    )
    return rows, {"x-total-count": str(storage.count(table))}


def check_id(number: int) -> int:
    """Refuse an id that the database's type can't hold.

    Raises:
        ApiError: 500, as the database's driver fails.
    """
    if not -INT32_MAX - 1 <= number <= INT32_MAX:
        raise database_error()
    return number


FIELDS = {
    "filter": ("field", "operator", "value"),
    "sort": ("field", "order"),
}


def _parse(text: str | None, what: str) -> list[Row]:
    if not text:
        return []
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError as error:
        raise detail(400, str(error)) from error
    if isinstance(parsed, list) and parsed:
        if all(isinstance(item, str) for item in parsed):
            parsed = [parsed]
        return [_element(item, what) for item in parsed]
    return [_element(item, what) for item in _iterate(parsed)]


def _iterate(parsed: Any) -> list[Any]:
    if isinstance(parsed, dict | list | str):
        return list(parsed)
    kind = type(parsed).__name__
    raise detail(400, f"'{kind}' object is not iterable")


def _element(item: Any, what: str) -> Row:
    names = FIELDS[what]
    if isinstance(item, list):
        item = dict(zip(names, item, strict=False))
    if not isinstance(item, dict):
        raise detail(400, f"Unsupported CrudFilter format: {item}")
    problems = _filter_faults(item) if what == "filter" else _sort_faults(item)
    if problems:
        model = "CrudFilter" if what == "filter" else "CrudSort"
        raise detail(400, _problem_text(model, problems))
    return {name: item.get(name) for name in names}


def _filter_faults(item: Row) -> list[str]:
    faults = _missing(item, "field", "operator")
    if isinstance(item.get("value"), list | dict):
        faults += [
            "value\n  str type expected (type=type_error.str)",
            "value\n  value is not a valid integer (type=type_error.integer)",
            "value\n  value is not a valid float (type=type_error.float)",
        ]
    return faults


def _sort_faults(item: Row) -> list[str]:
    faults = _missing(item, "field", "order")
    order = item.get("order", "asc")
    if order not in DIRECTIONS:
        faults.append(
            "order\n  unexpected value; permitted: 'asc', 'desc' "
            f"(type=value_error.const; given={order}; "
            "permitted=('asc', 'desc'))"
        )
    return faults


def _missing(item: Row, *names: str) -> list[str]:
    return [
        f"{name}\n  field required (type=value_error.missing)"
        for name in names
        if name not in item
    ]


def _problem_text(model: str, problems: list[str]) -> str:
    plural = "s" if len(problems) > 1 else ""
    first = f"{len(problems)} validation error{plural} for {model}"
    return "\n".join((first, *problems))


def _sort(table: Table, sort: Row) -> str:
    _column_type(table, sort["field"])
    return f"{sort['field']} {DIRECTIONS[sort['order']]}"


def _column_type(table: Table, name: Any) -> Type:
    kind = table.type_of(name) if isinstance(name, str) else None
    if kind is None:
        raise server_error()
    return kind


def _filter(table: Table, given: Row) -> Condition:
    column, operator = given["field"], given["operator"]
    kind = _column_type(table, column)
    value = None if given["value"] is None else _read(str(given["value"]))
    if operator in MEMBERSHIPS:
        return _membership(kind, column, MEMBERSHIPS[operator], value)
    if operator not in COMPARISONS:
        raise server_error()
    if value is None:
        return _null_test(column, operator)
    stored = _as_column(kind, value)
    return Condition(f"{column} {COMPARISONS[operator]} ?", (stored,))


def _null_test(column: str, operator: str) -> Condition:
    if operator not in NULL_TESTS:
        raise server_error()
    return Condition(f"{column} {NULL_TESTS[operator]}")


def _membership(
    kind: Type, column: str, operator: str, value: Any
) -> Condition:
    if not isinstance(value, list):
        raise server_error()
    stored = tuple(_as_column(kind, one) for one in value)
    marks = ", ".join("?" * len(stored))
    return Condition(f"{column} {operator} ({marks})", stored)


def _as_column(kind: Type, value: Any) -> Any:
    """A value as the column stores it, if the real driver would take it."""
    if kind is Type.TEXT and isinstance(value, str):
        return value
    if kind is Type.INTEGER and type(value) is int:
        return check_id(value)
    if kind is Type.TIME and isinstance(value, datetime):
        return value.isoformat()
    raise database_error()


def _read(text: str) -> Any:
    """Read a filter's value as its looks say."""
    parsed = _read_list(text)
    if parsed is not None:
        return [_read_one(item) for item in parsed]
    return _read_one(text)


def _read_list(text: str) -> list[Any] | None:
    candidates = [text]
    if BARE_LIST_PATTERN.match(text):
        candidates.insert(0, f"[{text}]")
    for candidate in candidates:
        with contextlib.suppress(json.JSONDecodeError):
            parsed = json.loads(candidate)
            if isinstance(parsed, list):
                return parsed
    return None


def _read_one(item: Any) -> Any:
    if not isinstance(item, str):
        return item
    if TIME_PATTERN.fullmatch(item):
        return _read_time(item)
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(item)
    return {"true": True, "false": False}.get(item.lower(), item)


def _read_time(text: str) -> datetime:
    try:
        # The zone is dropped, not converted, and so it is there.
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError as error:
        raise server_error() from error
