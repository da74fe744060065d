"""Values become coarser as the forms say, and nothing falls outside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moderate.dataservices.anonymise import refuse_remote
from moderate.dataservices.encoding import Column
from moderate.dataservices.errors import DataError
from moderate.dataservices.hierarchies import levels_of
from moderate.dataservices.hierarchy_forms import hierarchy

ARX = "bread;food;*\nmilk;food;*\nsoap;care;*\n"


def levels(given: object, *values: str | None) -> list[list[str | None]]:
    codes = np.arange(len(values), dtype=np.int32)
    form = hierarchy("c", given, refuse_remote)
    found = levels_of(Column("c", codes, values), form)
    return [[each.labels[code] for code in each.codes] for each in found]


@pytest.mark.parametrize(
    ("given", "value", "expected"),
    [
        ("simpl_age", "25", ["25", "[20, 30)", "[20, 40)", "[0, 40)", "*"]),
        ("simpl_age", "30", ["30", "[30, 40)", "[20, 40)", "[0, 40)", "*"]),
        ("simpl_gender", "F", ["F", "*"]),
        (
            {"type": "intervals", "widths": [0.5, 5], "origin": 0.25},
            "-0.1",
            ["-0.1", "[-0.25, 0.25)", "[-4.75, 0.25)", "*"],
        ),
        (
            {"type": "prefix", "keep": [3, 1]},
            "12345",
            ["12345", "123**", "1****", "*"],
        ),
        (
            {"type": "date"},
            "2024-05-17T10:00",
            ["2024-05-17T10:00", "2024-05-17", "2024-05", "2024", "*"],
        ),
        (
            {"type": "date", "levels": ["year"], "format": "%d/%m/%Y"},
            "17/05/2024",
            ["17/05/2024", "2024", "*"],
        ),
        ({"type": "csv", "text": ARX}, "milk", ["milk", "food", "*"]),
    ],
)
def test_each_form_generalises_as_it_says(
    given: object, value: str, expected: list[str]
) -> None:
    assert [each[0] for each in levels(given, value)] == expected


def test_null_stays_null_at_every_level() -> None:
    assert [each[1] for each in levels("simpl_age", "25", None)] == [None] * 5


def test_rows_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "goods.csv"
    path.write_text(ARX.replace(";", ","))
    given = {"type": "csv", "path": str(path), "separator": ","}
    assert levels(given, "soap", "milk")[1] == ["care", "food"]


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("simpl_age", "old"),
        ("simpl_age", "-1"),
        ("simpl_age", "150"),
        ("simpl_age", "NaN"),
        ({"type": "date"}, "17/05/2024"),
        ({"type": "csv", "text": ARX}, "beer"),
    ],
)
def test_a_value_outside_names_column_and_row_but_not_itself(
    given: object, value: str
) -> None:
    with pytest.raises(DataError, match="'c', row 1: the value is outside"):
        levels(given, value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "intervals", "widths": [5, 12]}, "a multiple of the one"),
        ({"type": "intervals", "widths": []}, "widths"),
        ({"type": "prefix", "keep": [1, 2]}, "keep fewer characters"),
        ({"type": "date", "levels": ["year", "day"]}, "from day over month"),
        ({"type": "csv", "text": "a;x\nb\n"}, "row 2 has 1 fields"),
        ({"type": "csv", "text": "a;x\na;y\n"}, "row 2 repeats a value"),
        ({"type": "csv", "path": "/absent"}, "can't be read"),
        ({"type": "guess"}, "hierarchy"),
        (7, "hierarchy"),
    ],
)
def test_a_wrong_form_is_one_line(given: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        levels(given, "a")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_levels_that_part_what_was_one_are_refused() -> None:
    """The search relies on it: generalising must never undo itself."""
    text = "a;x;1\nb;x;2\n"
    with pytest.raises(DataError, match="is not nested"):
        levels({"type": "csv", "text": text}, "a", "b")
