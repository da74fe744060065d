"""What a change changed, told as the server tells it."""

import json
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
# Kept when they change, but told as no change.
UNTOLD = frozenset({"sourceHash"})
UNTOLD_IN_COLUMNS = frozenset(
    {"ordinalPosition", "children", "dataTypeDisplay"}
)
# Told without what is in it.
SECRET = frozenset({"connection"})
#: Told by their elements, not as a whole.
COLUMNS = "columns"
MINOR, MAJOR = 0.1, 1.0


def nothing(version: float) -> Json:
    """A change that changed nothing."""
    return {
        "fieldsAdded": [],
        "fieldsUpdated": [],
        "fieldsDeleted": [],
        "previousVersion": version,
    }


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], version: float
) -> Json | None:
    """Tell what differs between two states of an entity.

    Args:
        before: The old state.
        after: The new state.
        version: Of the old state.

    Returns:
        A ``changeDescription``; ``None`` when nothing differs.
    """
    told = nothing(version)
    for name in sorted({*before, *after} - UNTOLD):
        old, new = before.get(name), after.get(name)
        if name == COLUMNS:
            _compare_columns(told, COLUMNS, old or [], new or [])
        elif isinstance(old or new, list):
            _compare_lists(told, name, old or [], new or [])
        else:
            _compare_values(told, name, old, new)
    if not any(
        told[key] for key in ("fieldsAdded", "fieldsUpdated", "fieldsDeleted")
    ):
        return None
    return {**told, "changeSummary": {}}


def next_version(version: float, change: Mapping[str, Any]) -> float:
    """The version after a change; one that loses columns is a major one."""
    lost = any(one["name"] == COLUMNS for one in change["fieldsDeleted"])
    return round(version + (MAJOR if lost else MINOR), 1)


def _compare_columns(
    told: Json, path: str, old: list[Json], new: list[Json]
) -> None:
    was = {column["name"]: column for column in old}
    becomes = {column["name"]: column for column in new}
    added = [becomes[name] for name in becomes if name not in was]
    lost = [was[name] for name in was if name not in becomes]
    if added:
        told["fieldsAdded"].append({"name": path, "newValue": _text(added)})
    if lost:
        told["fieldsDeleted"].append({"name": path, "oldValue": _text(lost)})
    for name in was.keys() & becomes.keys():
        here = f"{path}.{name}"
        before, after = was[name], becomes[name]
        for key in sorted({*before, *after} - UNTOLD_IN_COLUMNS):
            _compare_values(
                told,
                f"{here}.{key}",
                _number(before.get(key)),
                _number(after.get(key)),
            )
        _compare_columns(
            told,
            f"{here}.children",
            before.get("children") or [],
            after.get("children") or [],
        )


def _compare_lists(
    told: Json, name: str, old: list[Any], new: list[Any]
) -> None:
    added = [one for one in new if one not in old]
    lost = [one for one in old if one not in new]
    if added:
        told["fieldsAdded"].append({"name": name, "newValue": _text(added)})
    if lost:
        told["fieldsDeleted"].append({"name": name, "oldValue": _text(lost)})


def _compare_values(told: Json, name: str, old: Any, new: Any) -> None:
    if old == new:
        return
    if name in SECRET:
        old, new = "old-encrypted-value", "new-encrypted-value"
    if old is None:
        told["fieldsAdded"].append({"name": name, "newValue": new})
    elif new is None:
        told["fieldsDeleted"].append({"name": name, "oldValue": old})
    else:
        told["fieldsUpdated"].append(
            {"name": name, "oldValue": old, "newValue": new}
        )


def _number(value: Any) -> Any:
    """Numbers of columns are told as fractions."""
    return float(value) if type(value) is int else value


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
