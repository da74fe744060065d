"""Validation errors in the words of pydantic 1, which the API speaks."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

Error = dict[str, Any]

#: By pydantic 2's type: pydantic 1's type and message.
WORDS: Mapping[str, tuple[str, str]] = {
    "missing": ("value_error.missing", "field required"),
    "int_parsing": ("type_error.integer", "value is not a valid integer"),
    "int_from_float": ("type_error.integer", "value is not a valid integer"),
    "int_type": ("type_error.integer", "value is not a valid integer"),
    "bool_parsing": (
        "type_error.bool",
        "value could not be parsed to a boolean",
    ),
    "bool_type": ("type_error.bool", "value could not be parsed to a boolean"),
    "string_type": ("type_error.str", "str type expected"),
    "dict_type": ("type_error.dict", "value is not a valid dict"),
    "model_attributes_type": ("type_error.dict", "value is not a valid dict"),
    "datetime_parsing": ("value_error.datetime", "invalid datetime format"),
    "datetime_from_date_parsing": (
        "value_error.datetime",
        "invalid datetime format",
    ),
    "datetime_type": ("value_error.datetime", "invalid datetime format"),
}
NULL_REFUSED = {
    "msg": "none is not an allowed value",
    "type": "type_error.none.not_allowed",
}


def translate(error: ErrorDetails | Mapping[str, Any]) -> Error:
    """Say an error as pydantic 1 says it.

    Args:
        error: One error of pydantic 2 or of FastAPI.
    """
    kind = error["type"]
    if kind == "json_invalid":
        return dict(error)
    shared = {"loc": list(error["loc"])}
    if kind == "enum":
        return shared | _enumeration(error["ctx"]["expected"])
    if kind in ("less_than_equal", "greater_than_equal"):
        return shared | _bound(kind, error["ctx"])
    if kind == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        return shared | {
            "msg": f'string does not match regex "{pattern}"',
            "type": "value_error.str.regex",
            "ctx": {"pattern": pattern},
        }
    if error.get("input", ...) is None and kind != "missing":
        return shared | NULL_REFUSED
    v1_type, message = WORDS.get(kind, ("value_error", error["msg"]))
    return shared | {"msg": message, "type": v1_type}


def _enumeration(expected: str) -> Error:
    values = expected.replace("'", "").replace(" or ", ", ").split(", ")
    listed = ", ".join(f"'{value}'" for value in values)
    return {
        "msg": f"value is not a valid enumeration member; permitted: {listed}",
        "type": "type_error.enum",
        "ctx": {"enum_values": values},
    }


def _bound(kind: str, context: Mapping[str, Any]) -> Error:
    short, words = {
        "less_than_equal": ("le", "less than or equal to"),
        "greater_than_equal": ("ge", "greater than or equal to"),
    }[kind]
    limit = int(context[short])
    return {
        "msg": f"ensure this value is {words} {limit}",
        "type": f"value_error.number.not_{short}",
        "ctx": {"limit_value": limit},
    }
