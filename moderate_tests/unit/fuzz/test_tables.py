"""Files and configurations of people are read, or refused in one line."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.dataservices import filling, techniques
from moderate.dataservices.encoding import encode
from moderate.dataservices.errors import DataError
from moderate.dataservices.hierarchies import levels_of
from moderate.dataservices.hierarchy_forms import BUILT_IN, hierarchy
from moderate.dataservices.tables import open_table
from moderate.workloads.csv_conversion.convert import convert
from moderate.workloads.csv_conversion.errors import CsvError
from moderate.workloads.csv_conversion.reading import Reading
from moderate.workloads.matrix_profile.config import read_config
from moderate.workloads.matrix_profile.errors import (
    ConfigError,
    InputError,
)
from moderate.workloads.matrix_profile.reader import read_table
from moderate.workloads.matrix_profile.times import parse_times
from moderate_tests.unit.fuzz.inputs import (
    changed,
    ends_as_promised,
    json_values,
    texts,
)

CELLS = (
    "",
    '"',
    '""',
    '"a',
    'a"b',
    "1",
    "1,5",
    "1e400",
    "-0",
    "nan",
    "1.234.567,89",
    "2024-01-01 00:00",
    "2024-13-45",
    "31.12.2023 24:00",
    "0000-00-00T00:00Z",
    "9999999999999999999",
    "\ufeff",
    "=cmd()",
    "kWh",
    "time",
)
cells = st.sampled_from(CELLS) | st.text(
    st.characters(codec="utf-8"), max_size=8
)
rows = st.lists(cells, max_size=4)


def _joined(parts: tuple[list[list[str]], str, str]) -> str:
    lines, separator, newline = parts
    return newline.join(separator.join(line) for line in lines)


csv_texts = st.tuples(
    st.lists(rows, max_size=6),
    st.sampled_from([",", ";", "\t", "|", " "]),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
).map(_joined)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le")
files = st.one_of(
    st.tuples(csv_texts, st.sampled_from(ENCODINGS)).map(
        lambda given: given[0].encode(given[1], "replace")
    ),
    csv_texts.map(lambda text: text.encode()),
    st.tuples(csv_texts, st.binary(max_size=5)).map(
        lambda given: given[0].encode() + given[1]
    ),
    st.binary(max_size=60),
    st.binary(max_size=60).map(b"PAR1".__add__),
    st.sampled_from([b"\x1f\x8b\x08", b"PK\x03\x04", b"%PDF", b"<html>"]),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@given(content=files)
def test_a_file_of_the_data_services_is_a_table_or_is_refused(
    folder: Path, content: bytes
) -> None:
    path = folder / "in.csv"
    path.write_bytes(content)

    def read() -> None:
        table = open_table(path)
        read_rows = sum(batch.num_rows for batch in table.batches())
        for name in table.columns[:2]:
            chosen = table.batches([name])
            assert sum(b.num_rows for b in chosen) == read_rows

    one_line(read)


def one_line(act: Callable[[], object]) -> None:
    """Do something that may be refused in one line that shows no cell."""
    said = ""
    try:
        act()
    except DataError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1


READINGS = (
    Reading(),
    Reading(separator=";", decimal_point=",", title_lines=1),
    Reading(encoding="latin-1", timestamps=("%d.%m.%Y %H:%M",)),
)


@given(content=files, reading=st.sampled_from(READINGS))
def test_a_file_of_a_dataset_is_converted_or_is_refused(
    folder: Path, content: bytes, reading: Reading
) -> None:
    path = folder / "source.csv"
    path.write_bytes(content)
    ends_as_promised(
        lambda: convert(
            path, folder / "out.parquet", folder / "out.csv", reading
        ),
        CsvError,
    )


@given(content=files, variable=st.sampled_from(["kWh", "1", "", "\ufeff"]))
def test_a_file_of_an_analysis_is_a_series_or_is_refused(
    content: bytes, variable: str
) -> None:
    ends_as_promised(
        lambda: read_table(io.BytesIO(content), variable, max_rows=100),
        InputError,
    )


@given(st.lists(cells | texts, min_size=1, max_size=6), st.booleans())
def test_cells_are_times_or_are_not(
    cells: list[str], epochs: bool  # noqa: FBT001  # as hypothesis gives it
) -> None:
    ends_as_promised(lambda: parse_times(cells, epochs=epochs), InputError)


@given(
    st.dictionaries(
        st.sampled_from(
            (
                "FILE_URL",
                "ANALYSIS_VARIABLE",
                "OUTPUT_BUCKET",
                "OUTPUT_KEY",
                "S3_ENDPOINT_URL",
                "S3_REGION",
                "S3_ACCESS_KEY_ID",
                "S3_SECRET_ACCESS_KEY",
                "MATRIX_PROFILE_WINDOW",
                "MATRIX_PROFILE_MAX_BYTES",
                "MATRIX_PROFILE_MAX_POINTS",
                "MATRIX_PROFILE_THREADS",
            )
        ),
        texts | st.sampled_from(["http://[", "https://a/b", "7d", "24", "²"]),
    )
)
def test_an_analysis_is_configured_or_says_what_is_wrong(
    environ: Mapping[str, str],
) -> None:
    ends_as_promised(lambda: read_config(environ), ConfigError)


TECHNIQUES = [
    {"technique": {"hash": {"columns": ["id"], "algorithm": "sha256"}}},
    {"technique": {"type": "encrypt", "columns": ["Name"], "key_name": "k"}},
    {"replace": {"columns": ["a"], "new_value": "X"}},
]


@given(st.lists(changed(TECHNIQUES[0]) | changed(TECHNIQUES[1]), max_size=3))
def test_techniques_are_understood_or_refused(used: list[Any]) -> None:
    """Dagster's own schema lets nothing but objects through."""
    given_ones = [each for each in used if isinstance(each, dict)]
    one_line(lambda: techniques.parse(given_ones))


FILLS = {"a": "mean", "b": {"method": "constant", "value": "0"}}


@given(changed(FILLS))
def test_fills_are_understood_or_refused(columns: Any) -> None:
    if isinstance(columns, dict):
        one_line(lambda: filling.parse(columns))


FORMS: tuple[Any, ...] = (
    {"type": "intervals", "widths": [10, 20], "origin": 0},
    {"type": "prefix", "keep": [3, 2]},
    {"type": "date", "levels": ["month", "year"]},
    {"type": "csv", "text": "a;b;*\nc;b;*\n"},
    *BUILT_IN,
)


@given(
    form=st.sampled_from(FORMS).flatmap(changed) | json_values,
    values=st.lists(cells, min_size=1, max_size=4),
)
def test_a_hierarchy_is_understood_or_refused(
    folder: Path, form: Any, values: list[str]
) -> None:
    """Also when values that nobody thought of are generalised with it."""
    path = folder / "values.csv"
    quoted = [json.dumps(v).replace("\\", "") for v in values]
    path.write_text("\n".join(["a", *quoted]) + "\n")

    def generalise() -> None:
        made = hierarchy("a", form, lambda _: "a;*\n")
        table = open_table(path)
        for column in encode(table, ["a"]):
            levels_of(column, made)

    one_line(generalise)
