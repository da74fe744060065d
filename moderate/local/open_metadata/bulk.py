"""Many rows in one request: HTTP 200, whatever becomes of each."""

from collections import Counter
from typing import Any

from moderate.local.open_metadata import incoming
from moderate.local.open_metadata.errors import (
    ApiError,
    MissingFieldError,
    validate,
)
from moderate.local.open_metadata.kinds import TABLE, Kind
from moderate.local.open_metadata.ledger import Bulk
from moderate.local.open_metadata.state import Server
from moderate.local.open_metadata.store import Change

Json = dict[str, Any]
SUCCESS, PARTIAL, FAILURE = "success", "partialSuccess", "failure"
ROW_PASSED, ROW_FAILED = 200, 400


def put_rows(
    server: Server, kind: Kind, rows: list[Json], *, override: bool
) -> Json:
    """Create or change each row's entity.

    Args:
        server: Where.
        kind: What they are.
        rows: Create requests.
        override: See ``incoming.merge``.

    Returns:
        What became of each.

    Raises:
        ApiError: The whole request can't be understood; nothing was done.
    """
    passed: list[Json] = []
    failed: list[Json] = []
    changes: Counter[Change] = Counter()
    for row, incomplete in zip(rows, _parse(kind, rows), strict=True):
        try:
            if incomplete:
                raise incomplete
            name, change = _put_row(server, kind, row, override=override)
        except ApiError as error:
            failed.append(_failure(kind, row, error))
        else:
            passed.append({"request": name, "status": ROW_PASSED})
            changes[change] += 1
    server.ledger.brought(
        Bulk(
            kind=kind.name,
            processed=len(rows),
            failed=len(failed),
            created=changes[Change.CREATED],
            updated=changes[Change.UPDATED],
            unchanged=changes[Change.NONE],
        )
    )
    return _result(passed, failed)


def _parse(kind: Kind, rows: list[Json]) -> list[MissingFieldError | None]:
    """Refuse what the server's parser would refuse.

    Only the single unknown field was recorded. It looks for missing fields
    later, row by row.

    Returns:
        For each row what is missing in it.
    """
    return [_missing(kind, row) for row in rows]


def _missing(kind: Kind, row: Json) -> MissingFieldError | None:
    try:
        validate(row, kind.create)
    except MissingFieldError as error:
        return error
    return None


def _put_row(
    server: Server, kind: Kind, row: Json, *, override: bool
) -> tuple[str, Change]:
    _, full_name = server.store.locate(kind, row)
    fault = server.faults.on_row(full_name)
    if fault is not None:
        raise _RowError(fault.status, fault.message)
    entity, change = server.store.put(kind, row, override=override)
    return entity.full_name, change


class _RowError(ApiError):
    """A failure that a fault asked for."""


def _failure(kind: Kind, row: Json, error: ApiError) -> Json:
    if isinstance(error, MissingFieldError):
        message, prepared = error.in_row, False
    else:
        message, prepared = error.message, True
    status = error.status if isinstance(error, _RowError) else ROW_FAILED
    request = {**row, "domains": [], "dataProducts": []}
    if kind is TABLE:
        request["columns"] = [
            _column(each, prepared=prepared)
            for each in row.get("columns") or ()
        ]
    return {"request": request, "message": message, "status": status}


def _column(column: Json, *, prepared: bool) -> Json:
    """A column as it is sent back."""
    if not prepared:
        return {**column, "tags": [], "children": []}
    (full,) = incoming.columns([column], "")
    return {key: full[key] for key in full.keys() - {"fullyQualifiedName"}}


def _result(passed: list[Json], failed: list[Json]) -> Json:
    status = SUCCESS
    if failed:
        status = PARTIAL if passed else FAILURE
    result: Json = {
        "status": status,
        "numberOfRowsProcessed": len(passed) + len(failed),
        "numberOfRowsPassed": len(passed),
        "numberOfRowsFailed": len(failed),
        "failedRequest": failed,
    }
    if passed:
        result["successRequest"] = passed
    return result
