"""A sample is bounded, fair, and counts all rows."""

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
