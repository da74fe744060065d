"""Files come in as they are, or are refused in one line."""

from pathlib import Path

import pytest

from moderate.dataservices import csv_text
from moderate.dataservices.errors import DataError
from moderate.dataservices.output import writing
from moderate.dataservices.tables import Table, open_table
from moderate_tests.unit.dataservices.helpers import csv_table, text_of


def copied(folder: Path, raw: bytes) -> Table:
    table = csv_table(folder, raw)
    path = folder / "out.csv"
    with writing(path, table, table.schema()) as writer:
        for batch in table.batches():
            writer.write(batch)
    return table.at(path)


@pytest.mark.parametrize(
    "text",
    [
        'a,b\n"",\n,""\n',
        "a;b\r\n1;2\r\n",
        "a\tb\n007\t 1 \n",
        "a|b\n1,2|3\n",
        'a,b\n"x\ny","q""z"\n',
        "a\n1\n\n3\n",
        "a,b\n",
        "größe,b\nß,1\n",
    ],
)
def test_what_is_not_touched_stays_byte_by_byte(
    tmp_path: Path, text: str
) -> None:
    assert text_of(copied(tmp_path, text.encode())) == text


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    done = copied(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n")
    assert done.columns == ("a", "b")
    assert text_of(done) == "a,b\n1,2\n"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"a,a\n1,2\n", "two columns are named 'a': 1, 2"),
        (b"a,b\n1,2\n3\n", "row 2 (line 3) has 1 fields, the header 2:"),
        (b'a,b\n"x\n",2\n1,2,3\n', "row 2 (line 4) has 3 fields"),
        (b"a,b\n1,2\n3,\xff\n", "column 'b', row 2: not UTF-8"),
        (b"a,\xff\n1,2\n", "the header is not UTF-8"),
        (b"\xff\xfea\x00", "the file is UTF-16"),
        (b"PAR1 is no file", "not a Parquet file"),
    ],
)
def test_a_broken_file_is_one_line(
    tmp_path: Path, raw: bytes, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        copied(tmp_path, raw)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        open_table(tmp_path / "absent.csv")


def test_a_file_of_many_blocks_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_text, "BLOCK_BYTES", 64)
    text = "a,b\n" + "".join(f'{i},"x\n{i}"\n' for i in range(200))
    assert text_of(copied(tmp_path, text.encode())) == text
