"""What can't be meant, or can't be reached, is refused in one line."""

from pathlib import Path
from typing import Any

import pytest

from moderate.dataservices.anonymise import anonymise
from moderate.dataservices.errors import DataError
from moderate.dataservices.requests import Measure, Request
from moderate_tests.unit.dataservices.helpers import (
    PEOPLE,
    SIMPL,
    csv_table,
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quasi_identifiers": ("agee",)}, "'agee'; did you mean 'age'?"),
        ({"quasi_identifiers": ("AGE",)}, "'age' differs by case"),
        ({"sensitive": ("Disease",)}, "'disease' differs by case"),
        (
            {"ident": ("name",), "ignore_ident_case": False},
            "'Name' differs by case",
        ),
        ({"quasi_identifiers": ()}, "quasi_identifiers: name one"),
        ({"k": 13}, "k is 13, but there are 12 rows"),
        ({"k": 0}, "k is 0; it must be 1 or more"),
        ({"supp_level": 101.0}, "supp_level is 101"),
        ({"supp_level": -0.1}, "supp_level is -0.1"),
        ({"t": 1.5, "sensitive": ("disease",)}, "t is 1.5"),
        ({"l_value": 0, "sensitive": ("disease",)}, "l is 0"),
        ({"l_value": 4, "sensitive": ("disease",)}, "has 3 values"),
        ({"l_value": 2}, "name one sensitive_attribute"),
        ({"ident": ("age",)}, "'age' is both ident and quasi identifier"),
        ({"hierarchies": {"age": "simpl"}}, "no hierarchy 'simpl'; there"),
        ({"hierarchies": {"id": "simpl_age"}}, "'id' has a hierarchy but"),
        (
            {"quasi_identifiers": ("Name",), "hierarchies": {"Name": SIMPL}},
            "column 'Name': hierarchy",
        ),
        (
            {
                "quasi_identifiers": ("Name",),
                "hierarchies": {"Name": "simpl_age"},
            },
            "column 'Name', row 1: the value is outside the hierarchy",
        ),
        (
            {
                "t": 0.1,
                "sensitive": ("disease",),
                "measure": Measure.ORDERED,
            },
            "column 'disease', row 1: no number",
        ),
    ],
)
def test_bad_requests_are_one_line_and_write_nothing(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    table = csv_table(tmp_path, PEOPLE)
    options: dict[str, Any] = {
        "quasi_identifiers": ("age", "gender"),
        "k": 2,
    }
    with pytest.raises(DataError, match=r"^[^\n]*$") as caught:
        anonymise(
            table, Request(**{**options, **changes}), tmp_path / "out.csv"
        )
    assert said in str(caught.value)
    assert not any(name in str(caught.value) for name in ("Ann", "flu"))
    assert not (tmp_path / "out.csv").exists()


def test_a_sensitive_column_with_one_value_is_refused(tmp_path: Path) -> None:
    table = csv_table(tmp_path, "q,s\na,x\na,x\n")
    for goal in ({"l_value": 1}, {"t": 0.5}):
        request = Request(
            quasi_identifiers=("q",), k=1, sensitive=("s",), **goal
        )
        with pytest.raises(DataError, match="'s' has one value"):
            anonymise(table, request, tmp_path / "out.csv")


def test_an_impossible_k_is_an_error_not_an_empty_file(
    tmp_path: Path,
) -> None:
    table = csv_table(tmp_path, "q\nx\nx\n\n")
    request = Request(quasi_identifiers=("q",), k=3)
    with pytest.raises(DataError, match=r"k = 3 can't be reached.*1 nulls"):
        anonymise(table, request, tmp_path / "out.csv")


def limit_of(level: float) -> float:
    return Request(quasi_identifiers=("q",), k=1, supp_level=level).limit


@pytest.mark.parametrize("level", [0.25, 25.0])
def test_a_supp_level_up_to_1_is_a_fraction_above_it_percent(
    level: float,
) -> None:
    assert limit_of(level) == 0.25


def test_a_supp_level_of_1_is_everything() -> None:
    assert limit_of(1.0) == 1.0


def test_a_name_that_fits_two_columns_by_case_is_refused(
    tmp_path: Path,
) -> None:
    table = csv_table(tmp_path, "q,Name,NAME\na,1,2\n")
    request = Request(quasi_identifiers=("q",), k=1, ident=("name",))
    with pytest.raises(DataError, match="'Name' or 'NAME' differs by case"):
        anonymise(table, request, tmp_path / "out.csv")


def test_case_is_ignored_where_that_is_set(tmp_path: Path) -> None:
    table = csv_table(tmp_path, PEOPLE)
    request = Request(
        quasi_identifiers=("AGE",),
        k=1,
        hierarchies={"Age": "simpl_age"},
        ignore_case=True,
    )
    _, report = anonymise(table, request, tmp_path / "out.csv")
    assert set(report.levels) == {"age"}
