"""A sample is bounded, fair, and counts all rows."""

import io
from collections.abc import Iterator

import pandas as pd
import pytest

from moderate.flows.metadata_ingestion import sampling


def _chunks(rows: int, columns: int = 1) -> Iterator[pd.DataFrame]:
    for start in range(0, rows, 100):
        end = min(rows, start + 100)
        yield pd.DataFrame(
            {f"c{n}": range(start, end) for n in range(columns)}
        )


def test_all_rows_are_kept_where_they_fit() -> None:
    taken = sampling.take(_chunks(450), 500)
    assert taken.total == 450
    assert sum(map(len, taken.frames)) == 450


def test_a_sample_is_bounded_and_the_count_is_of_all() -> None:
    taken = sampling.take(_chunks(20_000), 500)
    kept = pd.concat(taken.frames)["c0"]
    assert taken.total == 20_000
    assert 200 <= len(kept) <= 500
    # From all of it, not from its begin.
    assert kept.mean() == pytest.approx(10_000, rel=0.15)


def test_a_wide_table_has_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MOST_CELLS", 1000)
    taken = sampling.take(_chunks(2_000, columns=10), 1_500)
    assert sum(map(len, taken.frames)) <= 100


def test_an_object_without_rows_has_a_sample() -> None:
    empty = pd.DataFrame({"a": []})
    assert sampling.take(iter([empty]), 10).total == 0
    assert sampling.take(iter([]), 10).frames == []


def test_a_sample_of_long_texts_is_bounded_by_its_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampling, "MOST_BYTES", 1_000_000)
    texts = [pd.DataFrame({"a": ["x" * 10_000] * 50})] * 20
    taken = sampling.take(iter(texts), 5_000)
    assert taken.total == 1_000
    (kept,) = taken.frames
    assert 0 < kept.memory_usage(deep=True).sum() <= 1_000_000


def test_a_sample_is_one_piece_however_many_were_read() -> None:
    pieces = [pd.DataFrame({"a": [float(n)]}) for n in range(1_000)]
    taken = sampling.take(iter(pieces), 5_000)
    (kept,) = taken.frames
    assert list(kept["a"]) == [float(n) for n in range(1_000)]


@pytest.mark.parametrize(
    ("columns", "rows"),
    [(1, 5_000), (200, 5_000), (400, 2_500), (3_000, 333), (50_000, 100)],
)
def test_fewer_rows_of_many_columns_are_read_at_a_time(
    columns: int, rows: int
) -> None:
    assert sampling.rows_at_a_time(columns) == rows


def test_text_is_read_in_such_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pd, "read_csv", pd.read_csv)
    monkeypatch.setattr(sampling, "CHUNK_CELLS", 1_000)
    sampling.bound_text()
    text = "a,b,c,d\n" + "1,2,3,4\n" * 600
    chunks = pd.read_csv(io.StringIO(text), chunksize=100_000)
    assert [len(chunk) for chunk in chunks] == [250, 250, 100]
