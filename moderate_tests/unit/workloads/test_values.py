"""Numbers are read as people and meters write them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.values import parse_values


@pytest.mark.parametrize(
    ("texts", "delimiter", "expected"),
    [
        (["1.5", "-2", "3e2"], ",", [1.5, -2, 300]),
        (["1,5", "-2", "0,25"], ";", [1.5, -2, 0.25]),
        (["1,5", "2,125"], ",", [1.5, 2.125]),
        (["1,234", "2,500"], ";", [1.234, 2.5]),
        (["1,234", "12,500"], ",", [1234, 12500]),
        (["1,234,567", "1,000"], ";", [1234567, 1000]),
        (["1.234,5", "7"], ";", [1234.5, 7]),
        (["1,234.5", "1,000"], ";", [1234.5, 1000]),
        (["1.234.567", "1.000"], ";", [1234567, 1000]),
        (
            ["1 234,5", "1\u00a0000,0", "2\u202f000,5"],
            ";",
            [1234.5, 1000, 2000.5],
        ),
        (["1'234.5", "3"], ",", [1234.5, 3]),
        ([" 1.5 ", "+2"], ",", [1.5, 2]),
    ],
)
def test_decimal_marks_and_thousands(
    texts: list[str], delimiter: str, expected: list[float]
) -> None:
    values, _ = parse_values(texts, "x", delimiter=delimiter)
    assert values.tolist() == expected


@pytest.mark.parametrize(
    "text", ["", " ", "NA", "n/a", "NaN", "null", "-", "#N/A", "inf", "-INF"]
)
def test_a_missing_value_is_missing_and_nothing_strange(text: str) -> None:
    values, notes = parse_values(["1.5", text, "2.5"], "x")
    assert math.isnan(values[1])
    assert not notes


def test_what_is_no_number_is_counted_and_shown() -> None:
    texts = ["1.5", "2", "3", "off", "1_000", "off"]
    values, notes = parse_values(texts, "x")
    assert np.isnan(values).tolist() == [False] * 3 + [True] * 3
    assert notes[0].level == "warning"
    assert "3 values" in notes[0].text
    assert "“off”" in notes[0].text


def test_a_decimal_comma_is_said() -> None:
    _, notes = parse_values(["1,5", "2,5"], "x", delimiter=";")
    assert "decimal comma" in notes[0].text


def test_a_column_of_text_is_refused_with_an_example() -> None:
    with pytest.raises(InputError, match="such as “closed”"):
        parse_values(["open", "closed", "closed", "1"], "door")


def test_an_empty_column_is_refused() -> None:
    with pytest.raises(InputError, match="“power” holds no numbers"):
        parse_values(["", "NA"], "power")


@given(
    st.lists(
        st.floats(-1e9, 1e9).map(lambda value: round(value, 4)), min_size=1
    )
)
def test_decimal_commas_are_read_back(numbers: list[float]) -> None:
    texts = [f"{number:.4f}".replace(".", ",") for number in numbers]
    values, _ = parse_values(texts, "x", delimiter=";")
    np.testing.assert_allclose(values, numbers)


@given(st.lists(st.text(max_size=20)), st.sampled_from([",", ";"]))
def test_no_text_breaks_it(texts: list[str], delimiter: str) -> None:
    try:
        values, _ = parse_values(texts, "x", delimiter=delimiter)
    except InputError:
        return
    assert values.size == len(texts)
    assert not np.isinf(values).any()
