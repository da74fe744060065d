"""Validation errors in pydantic 1's words, where no recording shows them."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from moderate.local.platform_api.validation import translate


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    whole: int = 0
    text: str = ""
    mapping: dict[str, Any] = {}
    time: datetime = datetime(2026, 1, 1)  # noqa: DTZ001
    flag: bool = False
    colour: Colour = Colour.RED
    small: Annotated[int, Field(ge=1, le=9)] = 1


@pytest.mark.parametrize(
    ("field", "value", "kind", "message"),
    [
        ("whole", "x", "type_error.integer", "value is not a valid integer"),
        ("whole", None, "type_error.none.not_allowed", "none is not an"),
        ("text", [], "type_error.str", "str type expected"),
        ("mapping", [], "type_error.dict", "value is not a valid dict"),
        ("time", "x", "value_error.datetime", "invalid datetime format"),
        ("flag", "x", "type_error.bool", "value could not be parsed to a"),
        ("colour", "x", "type_error.enum", "permitted: 'red'"),
        ("small", 0, "value_error.number.not_ge", "than or equal to 1"),
        ("small", 10, "value_error.number.not_le", "than or equal to 9"),
    ],
)
def test_an_error_is_said_as_pydantic_1_says_it(
    field: str, value: Any, kind: str, message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({field: value})

    (error,) = [translate(one) for one in caught.value.errors()]

    assert error["loc"] == [field]
    assert error["type"] == kind
    assert message in error["msg"]
    assert set(error) <= {"loc", "msg", "type", "ctx"}
