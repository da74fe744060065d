"""A table is found in whatever shape a meter or a spreadsheet exports it."""

import contextlib
import csv
import gzip
import io
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderate.workloads.matrix_profile import csv_table
from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.reader import read_table
from moderate.workloads.matrix_profile.table import Table

MAX_ROWS = 1000


def read(text: str | bytes, variable: str = "kWh") -> Table:
    data = text.encode() if isinstance(text, str) else text
    return read_table(io.BytesIO(data), variable, max_rows=MAX_ROWS)


PLAIN = "time,kWh\n2020-01-01 00:00,1.5\n2020-01-01 01:00,2.5\n"


def test_a_plain_table() -> None:
    table = read(PLAIN)
    assert table.values.tolist() == [1.5, 2.5]
    assert table.times is not None
    assert np.diff(table.times.micros).tolist() == [3600 * 10**6]
    assert table.time_column == "time"
    assert not table.notes


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_separators_quotes_and_line_ends(
    delimiter: str, *, quoted: bool, newline: str
) -> None:
    mark = '"' if quoted else ""
    text = PLAIN.replace(",", f"{mark}{delimiter}{mark}")
    if quoted:
        text = "".join(f'"{line}"\n' for line in text.splitlines())
    table = read(text.replace("\n", newline))
    assert table.values.tolist() == [1.5, 2.5]
    assert table.time_column == "time"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"]
)
def test_encodings(encoding: str) -> None:
    text = "Zeit;Wärme\n01.01.2020 00:00;1,5\n01.01.2020 01:00;2,5\n"
    table = read(text.encode(encoding), "Wärme")
    assert table.values.tolist() == [1.5, 2.5]
    said = any("Windows-1252" in note.text for note in table.notes)
    assert said == (encoding == "cp1252")


def test_titles_units_and_blank_lines_around_the_header() -> None:
    text = (
        "Building 7, main meter\n"
        'Exported by "Meterix", 2020\n'
        "kWh\n"
        "\n"
        "time,site,kWh\n"
        ",,(15 min)\n"
        "2020-01-01 00:00,a,1.5\n"
        "\n"
        "2020-01-01 01:00,a,2.5\n"
    )
    table = read(text)
    assert table.values[1:].tolist() == [1.5, 2.5]
    assert math.isnan(table.values[0])


def test_a_trailing_separator_on_each_row() -> None:
    assert read(
        PLAIN.replace("\n2", "\n2").replace("5\n", "5,\n")
    ).values.tolist() == [1.5, 2.5]


def test_a_single_column_with_decimal_commas_is_not_split() -> None:
    table = read("kWh\n1,5\n2,5\n3,25\n")
    assert table.values.tolist() == [1.5, 2.5, 3.25]
    assert table.times is None


def test_a_date_and_a_clock_in_two_columns() -> None:
    text = (
        "Date;Time;kWh\n" "16/12/2006;17:24:00;4.2\n16/12/2006;17:25:00;5.3\n"
    )
    table = read(text)
    assert table.time_column == "Date and Time"
    assert table.times is not None
    assert np.diff(table.times.micros).tolist() == [60 * 10**6]


def test_the_time_column_is_found_without_a_telling_name() -> None:
    text = "a,when,kWh\n7,2020-01-01 00:00,1\n8,2020-01-01 01:00,2\n"
    assert read(text).time_column == "when"


def test_epochs_are_times_only_under_a_telling_name() -> None:
    text = "timestamp,kWh\n1585143900,1\n1585147500,2\n"
    assert read(text).time_column == "timestamp"
    assert read(text.replace("timestamp", "counter")).times is None


def test_a_line_break_within_quotes_is_no_row() -> None:
    text = 'time,note,kWh\n2020-01-01 00:00,"a\nb",1\n2020-01-01 01:00,c,2\n'
    assert read(text).values.tolist() == [1, 2]


def test_short_rows_are_left_out_and_counted() -> None:
    table = read(PLAIN + "2020-01-01 02:00\nend of data\n")
    assert table.values.tolist() == [1.5, 2.5]
    assert "2 rows had too few cells" in table.notes[0].text


def test_of_two_columns_with_the_name_the_first_is_taken_openly() -> None:
    table = read("kWh,kWh,time\n1,9,2020-01-01\n2,9,2020-01-02\n")
    assert table.values.tolist() == [1, 2]
    assert "Several columns" in table.notes[0].text


def test_accents_may_be_composed_in_either_way() -> None:
    assert read("W\u00e4rme\n1\n2\n", "Wa\u0308rme").values.size == 2


def test_a_column_may_have_an_ugly_name() -> None:
    name = "<script>alert(1)</script>"
    assert read(f"{name},time\n1,2020-01-01\n2,2020-01-02\n", name).times


def test_an_unknown_variable_lists_the_columns() -> None:
    with pytest.raises(InputError) as caught:
        read("title\n\ntime;kWh;°C\n2020-01-01;1;2\n", "gas")
    assert "no column “gas”" in str(caught.value)
    assert "time, kWh, °C" in str(caught.value)


def test_a_list_of_columns_is_bounded() -> None:
    header = ",".join(f"column{'x' * 90}{i}" for i in range(5000))
    with pytest.raises(InputError) as caught:
        read(header + "\n" + "1," * 5000 + "\n", "gas")
    assert len(str(caught.value)) < 2500
    assert "and 4,970 more" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"PK\x03\x04....", "Excel"),
        (gzip.compress(b"time,kWh\n", mtime=0), "gzip"),
        (b"%PDF-1.7", "PDF"),
        (b"<!doctype html><p>login", "HTML"),
        (b'<?xml version="1.0"?><Error/>', "XML"),
        (b'[{"kWh": 1}]', "JSON"),
        (b"\x00\x01\x02\x03" * 100, "not text"),
        (b"x" * (2 * csv_table.SAMPLE_BYTES), "line is far too long"),
        (b"time,kWh\n", "no rows"),
        (b"time,kWh\n\n\n", "no rows"),
        (b"time,kWh\nnothing\n", "no rows|no complete rows"),
        (b'kWh\n1\n2\n"' + b"x\n" * 100_000, "broken near line"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(
    data: bytes, expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        read(data)


def test_too_many_rows_are_refused() -> None:
    text = "kWh\n" + "1\n2\n" * MAX_ROWS
    with pytest.raises(InputError, match="more than 1,000 rows"):
        read(text)


names = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1
).filter(lambda name: name.strip())


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_whatever_python_writes_is_read_back(data: st.DataObject) -> None:
    """Any separator, quoting, column name, decimal mark, and titles."""
    delimiter = data.draw(st.sampled_from([",", ";", "\t", "|"]))
    variable = data.draw(names)
    others = data.draw(st.lists(names.filter(str.isalpha), max_size=3))
    numbers = data.draw(
        st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=30)
    )
    comma = delimiter != "," and data.draw(st.booleans())
    titles = data.draw(st.integers(0, 3))
    quoted = data.draw(st.booleans())
    file = io.StringIO(newline="")
    file.write("some title\r\n" * titles)
    writer = csv.writer(
        file,
        delimiter=delimiter,
        quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
    )
    writer.writerow(
        ["my time", *(f"other {name}" for name in others), variable]
    )
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    for row, number in enumerate(numbers):
        text = f"{number:.4f}"
        time = (begin + timedelta(hours=row)).strftime("%Y-%m-%d %H:%M")
        shown = text.replace(".", ",") if comma else text
        writer.writerow([time, *("x" for _ in others), shown])
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    table = read(file.getvalue().encode(encoding), variable)
    np.testing.assert_allclose(table.values, np.round(numbers, 4), atol=1e-9)
    assert table.times is not None
    assert table.time_column == "my time"


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    """Whatever a bucket holds: a table, or a refusal that people can read."""
    with contextlib.suppress(InputError):
        read(b"kWh,time\n1,2020-01-01\n" + data)
