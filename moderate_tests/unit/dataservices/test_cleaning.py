"""Duplicates and missing values, held to pandas and to small examples."""

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderate.dataservices import csv_text
from moderate.dataservices.duplicates import (
    DuplicateRequest,
    Keep,
    remove_duplicates,
)
from moderate.dataservices.errors import DataError
from moderate.dataservices.filling import fill_missing, parse
from moderate_tests.unit.dataservices.helpers import (
    csv_table,
    parquet_table,
    text_of,
    write_rows,
)

CELL = st.sampled_from([None, "", "a", "A", " a", "b"])
ROWS = st.lists(
    st.fixed_dictionaries({"x": CELL, "y": CELL}), min_size=1, max_size=30
)
PANDAS: Mapping[Keep, Literal["first", "last", False]] = {
    Keep.FIRST: "first",
    Keep.LAST: "last",
    Keep.NONE: False,
}


@settings(deadline=None, max_examples=40)
@given(
    rows=ROWS,
    keep=st.sampled_from(Keep),
    columns=st.sampled_from([(), ("x",), ("y", "x")]),
)
def test_what_stays_is_what_pandas_keeps(
    rows: list[dict[str, str | None]], keep: Keep, columns: tuple[str, ...]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        numbered = [{**r, "n": str(i)} for i, r in enumerate(rows)]
        table = write_rows(Path(folder), numbered)
        subset = columns or ("x", "y")
        done, report = remove_duplicates(
            table,
            DuplicateRequest(columns=subset, keep=keep),
            Path(folder) / "out.csv",
        )
        frame = pd.DataFrame(numbered)
        stays = frame.drop_duplicates(list(subset), keep=PANDAS[keep])
        found = pd.read_csv(io.StringIO(text_of(done)), dtype=str)
        assert list(found["n"]) == list(stays["n"])
        assert report.removed == len(rows) - len(stays)


def test_case_and_blanks_are_ignored_where_that_is_asked(
    tmp_path: Path,
) -> None:
    table = csv_table(tmp_path, "a,b\nx  y,1\n X y ,1\nz,1\n")
    request = DuplicateRequest(ignore_case=True, ignore_blanks=True)
    done, _ = remove_duplicates(table, request, tmp_path / "out.csv")
    assert text_of(done) == "a,b\nx  y,1\nz,1\n"
    plain, _ = remove_duplicates(
        table, DuplicateRequest(), tmp_path / "all.csv"
    )
    assert text_of(plain) == text_of(table)


SERIES = "t,v\n2024-01-01,1\n2024-01-02,\n2024-01-04,4\n2024-01-05,\n"


@pytest.mark.parametrize(
    ("given_as", "values"),
    [
        ("mean", ["1", "2.5", "4", "2.5"]),
        ("median", ["1", "2.5", "4", "2.5"]),
        ("mode", ["1", "1", "4", "1"]),
        ("forward", ["1", "1", "4", "4"]),
        ("backward", ["1", "4", "4", ""]),
        ({"method": "constant", "value": 0}, ["1", "0", "4", "0"]),
        ({"method": "time", "time_column": "t"}, ["1", "2", "4", ""]),
    ],
)
@pytest.mark.parametrize("block", [16, 1 << 20])
def test_each_method_fills_as_it_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given_as: Any,
    values: list[str],
    block: int,
) -> None:
    """In one piece, and in pieces of a row each."""
    monkeypatch.setattr(csv_text, "BLOCK_BYTES", block)
    done, report = fill_missing(
        csv_table(tmp_path, SERIES),
        parse({"v": given_as}),
        tmp_path / "out.csv",
    )
    lines = text_of(done).splitlines()[1:]
    assert [line.split(",")[1] for line in lines] == values
    assert report.filled["v"] == 2 - values.count("")
    assert report.left["v"] == values.count("")
    assert {p.name for p in tmp_path.iterdir()} == {"in.csv", "out.csv"}


def test_without_a_choice_numbers_get_the_median_texts_the_mode(
    tmp_path: Path,
) -> None:
    table = csv_table(tmp_path, "n,s\n1,a\n,\n3,a\n9,b\n")
    done, report = fill_missing(table, {}, tmp_path / "out.csv")
    assert text_of(done) == "n,s\n1,a\n3,a\n3,a\n9,b\n"
    assert dict(report.methods) == {"n": "median", "s": "mode"}


def test_types_stay_in_parquet(tmp_path: Path) -> None:
    table = parquet_table(tmp_path, {"n": [1, None, 4], "s": ["a", None, "a"]})
    done, _ = fill_missing(
        table, parse({"n": "mean", "s": "mode"}), tmp_path / "out.parquet"
    )
    assert done.schema().equals(table.schema())
    assert next(done.batches()).to_pydict() == {
        "n": [1, 2, 4],
        "s": ["a", "a", "a"],
    }


def test_the_order_of_time_is_not_that_of_rows(tmp_path: Path) -> None:
    table = csv_table(tmp_path, "t,v\n3,30\n2,\n1,10\n")
    fill = parse({"v": {"method": "time", "time_column": "t"}})
    done, _ = fill_missing(table, fill, tmp_path / "out.csv")
    assert text_of(done) == "t,v\n3,30\n2,20\n1,10\n"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"w": "mean"}, "there is no column 'w'"),
        ({"v": "median"}, "column 'v', row 2: no number"),
        ({"v": "guess"}, "column 'v': method"),
        ({"v": "constant"}, "column 'v': constant needs a value"),
        ({"v": "time"}, "column 'v': time needs a time_column"),
        (
            {"n": {"method": "time", "time_column": "v"}},
            "column 'v', row 1: no time",
        ),
    ],
)
def test_what_cannot_be_filled_is_one_line(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    table = csv_table(tmp_path, "n,v\n1,\n,secret\n3,\n")
    if said.endswith("no time"):
        table = csv_table(tmp_path, "n,v\n1,secret\n")
    with pytest.raises(DataError) as caught:
        fill_missing(table, parse(columns), tmp_path / "out.csv")
    assert str(caught.value).startswith(said)
    assert "secret" not in str(caught.value)
    assert {p.name for p in tmp_path.iterdir()} == {"in.csv"}
