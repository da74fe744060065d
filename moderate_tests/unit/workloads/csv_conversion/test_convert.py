"""Types hold over all blocks, and nothing is lost on the way.

Blocks are of 64 bytes here, so that some dozens of rows are many blocks.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from moderate.workloads.csv_conversion.convert import convert
from moderate.workloads.csv_conversion.errors import CsvError
from moderate.workloads.csv_conversion.reading import Facts, Reading

BLOCK = 64
PLAIN = Reading()
MANY = 60


@dataclass(frozen=True)
class Converted:
    facts: Facts
    table: pa.Table
    text: str

    @property
    def rows(self) -> list[list[str]]:
        return list(csv.reader(self.text.splitlines(keepends=True)))[1:]

    def type_of(self, column: str) -> str:
        return self.facts.columns[column]


class Converter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, content: bytes, reading: Reading = PLAIN) -> Converted:
        source = self._folder / "source.csv"
        to_parquet, to_csv = self._folder / "p", self._folder / "c"
        source.write_bytes(content)
        facts = convert(source, to_parquet, to_csv, reading, block_bytes=BLOCK)
        table = parquet.read_table(to_parquet)
        return Converted(facts, table, to_csv.read_text(encoding="utf-8"))


@pytest.fixture
def converted(tmp_path: Path) -> Converter:
    return Converter(tmp_path)


def test_rows_and_columns_are_the_same_in_all_three_files(
    converted: Converter,
) -> None:
    done = converted(b"a,b\n" + b"1,x\n" * MANY + b'2,"y\nz"\n')
    facts = done.facts
    assert facts.rows == facts.parquet_rows == facts.csv_rows == MANY + 1
    assert list(facts.columns) == ["a", "b"]
    assert facts.parquet_columns == facts.csv_columns == ["a", "b"]
    assert done.rows[-1] == ["2", "y\nz"]


def test_a_letter_in_the_last_row_makes_the_whole_column_text(
    converted: Converter,
) -> None:
    done = converted(b"a,b\n" + b"1,2\n" * MANY + b"1,x\n")
    assert done.type_of("a") == "int64"
    assert done.type_of("b") == "string"
    assert done.table["b"].to_pylist() == ["2"] * MANY + ["x"]


@pytest.mark.parametrize(
    ("first", "last", "kind"),
    [
        (b"", b"1", "int64"),
        (b"NA", b"1", "int64"),
        (b"1", b"1.5", "double"),
        (b"1", b"NaN", "int64"),
        (b"2016-01-01", b"2016-01-01 01:00:00", "timestamp[s]"),
        (b"2016-01-01 01:00:00", b"2016-01-01 01:00:00.25", "timestamp[us]"),
        (b"2016-01-01 01:00:00", b"2016-01-01 01:00:00Z", "string"),
        (b"2016-01-01", b"2016-01-32", "string"),
        (b"true", b"false", "bool"),
        (b"true", b"1", "string"),
        (b"1.5", b"1,5", "string"),
    ],
)
def test_a_late_value_widens_its_column(
    converted: Converter, first: bytes, last: bytes, kind: str
) -> None:
    rows = (b"0;" + first + b"\n") * MANY + b"0;" + last + b"\n"
    done = converted(b"n;a\n" + rows, Reading(separator=";"))
    assert done.type_of("a") == kind
    assert done.facts.rows == MANY + 1


def test_types_that_an_early_value_does_not_fit_are_widened_again(
    converted: Converter,
) -> None:
    """A late nanosecond asks for a type that ends in the year 2262."""
    early, late = "3000-01-01 00:00:00", "2016-01-01 00:00:00.123456789"
    done = converted(f"t\n{early}\n{late}\n".encode())
    assert done.type_of("t") == "string"
    assert done.table["t"].to_pylist() == [early, late]


@pytest.mark.parametrize(
    ("value", "others", "why"),
    [
        ("007", b"15\n", "it is a code"),
        ("0x1F", b"15\n", "it is hexadecimal"),
        ("9007199254740993", b"1.5\n", "no float holds it"),
        ("99999999999999999999", b"15\n", "no integer holds it"),
    ],
)
def test_numbers_that_would_change_stay_text(
    converted: Converter, value: str, others: bytes, why: str
) -> None:
    """A late ``1.5`` would round the whole numbers before it."""
    done = converted(f"a\n{value}\n".encode() + others * MANY)
    assert done.type_of("a") == "string", why
    assert done.rows[0] == [value]


def test_title_line_semicolons_and_decimal_commas(
    converted: Converter,
) -> None:
    """The first lines of the PV analysis of the building stock."""
    content = (
        b"MODERATE D3.1 case2and3\n"
        b"fid;h;roof_area;Name\n"
        b"18005;4,22;183,79875;I-7\n"
        b"3287;3,28;224,55405;999\n"
    )
    reading = Reading(separator=";", decimal_point=",", title_lines=1)
    done = converted(content, reading)
    assert done.text == (
        '"fid","h","roof_area","Name"\n'
        '18005,4.22,183.79875,"I-7"\n'
        '3287,3.28,224.55405,"999"\n'
    )
    assert done.table.schema.types == [
        pa.int64(),
        pa.float64(),
        pa.float64(),
        pa.string(),
    ]


def test_other_encodings_and_formats_of_time_are_a_rule_of_reading(
    converted: Converter,
) -> None:
    reading = Reading(encoding="cp1252", timestamps=("%d/%m/%Y %H:%M",))
    content = "Straße,t\nÄgidius,31/12/2016 10:00\n".encode("cp1252")
    done = converted(content, reading)
    assert done.text == '"Straße","t"\n"Ägidius",2016-12-31 10:00:00\n'


def test_text_that_looks_missing_is_kept_and_empty_text_is_missing(
    converted: Converter,
) -> None:
    """``NA`` is also Namibia."""
    done = converted(b"n,a\n1,DE\n2,NA\n3,\n")
    assert done.table["a"].to_pylist() == ["DE", "NA", None]


def test_parquet_is_compressed_and_has_statistics(
    converted: Converter, tmp_path: Path
) -> None:
    converted(b"a\n" + b"1\n" * MANY + b"7\n")
    column = parquet.read_metadata(tmp_path / "p").row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert (column.statistics.min, column.statistics.max) == (1, 7)


def test_the_same_source_gives_the_same_bytes(
    converted: Converter, tmp_path: Path
) -> None:
    """What was uploaded before a crash is known by its content."""
    content = b"a,t\n" + b"1.5,x\n" * MANY
    converted(content)
    first = [(tmp_path / name).read_bytes() for name in "pc"]
    converted(content)
    assert [(tmp_path / name).read_bytes() for name in "pc"] == first


def test_a_header_without_a_name_gets_the_columns_number(
    converted: Converter,
) -> None:
    done = converted(b"\xef\xbb\xbf,b\n0,2\n")
    assert list(done.facts.columns) == ["column_1", "b"]


GOOD = b"a,b\n" + b"1,2\n" * MANY
LATE = MANY + 2


@pytest.mark.parametrize(
    ("content", "line", "column", "words"),
    [
        (b"", None, None, "is empty"),
        (b"\n\n", None, None, "is empty"),
        (b"a,b\n", 1, None, "no row"),
        (b"1,2\n3,4\n", 1, None, "no header"),
        (b"2016-01-01 00:00,1.5\n", 1, None, "no header"),
        (b"a,b,a\n1,2,3\n", 1, None, "occur twice: a"),
        (b"a;b\n1;2\n", 1, None, "separator"),
        (GOOD + b"1\n", LATE, "b", "1 values where the header has 2"),
        (GOOD + b"1,2,3\n", LATE, 3, "3 values where the header has 2"),
        (GOOD + b'1,"x\n' + b"2,3\n" * 9, LATE, None, "not closed"),
        (GOOD + b'1,"x', LATE, None, "not closed"),
        (GOOD + b"1,caf\xe9\n", LATE, 2, "0xE9 is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), 1, None, "UTF-16"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            1,
            None,
            "pointer of Git LFS",
        ),
    ],
)
def test_a_bad_file_is_an_error_that_names_the_place(
    converted: Converter,
    content: bytes,
    line: int | None,
    column: str | int | None,
    words: str,
) -> None:
    with pytest.raises(CsvError, match=words) as caught:
        converted(content)
    assert caught.value.line == line
    assert caught.value.column == column


def test_lines_are_counted_through_quoted_line_feeds(
    converted: Converter,
) -> None:
    content = b"a,b\n" + b'1,"x\ny"\n' * MANY + b"1\n"
    with pytest.raises(CsvError) as caught:
        converted(content)
    assert caught.value.line == 2 * MANY + 2


def test_the_wrong_encoding_is_an_error(converted: Converter) -> None:
    with pytest.raises(CsvError, match="is not ascii"):
        converted("a\nÄ\n".encode(), Reading(encoding="ascii"))
