"""What the anonymisation promises, judged by pycanon and by brute force."""

import itertools
import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycanon import anonymity

from moderate.dataservices import rules
from moderate.dataservices.anonymise import Report, anonymise
from moderate.dataservices.encoding import encode
from moderate.dataservices.errors import DataError, GuaranteeError
from moderate.dataservices.hierarchies import levels_of
from moderate.dataservices.hierarchy_forms import hierarchy
from moderate.dataservices.requests import Measure, NullRule, Request
from moderate.dataservices.rules import Diversity
from moderate.dataservices.tables import Table
from moderate_tests.unit.dataservices.helpers import (
    PEOPLE,
    SIMPL,
    Rows,
    csv_table,
    parquet_table,
    records,
    text_of,
    write_rows,
)

QIS = ("age", "zip", "sex")
HIERARCHIES = {
    "age": {"type": "intervals", "widths": [5, 10, 20]},
    "zip": {"type": "prefix", "keep": [2, 1]},
    "sex": "simpl_gender",
}
ROW = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "age": st.integers(20, 45).map(str),
        "zip": st.sampled_from(["101", "102", "111", "201", "211"]),
        "sex": st.sampled_from("FM"),
        "ill": st.sampled_from(["1", "2", "3", "5", "8"]),
    }
)
TABLES = st.lists(ROW, min_size=1, max_size=40)


def ask(**changes: Any) -> Request:
    options: dict[str, Any] = {
        "quasi_identifiers": QIS,
        "hierarchies": HIERARCHIES,
        "k": 2,
    }
    return Request(**{**options, **changes})


def attempt(
    folder: Path, rows: Rows, request: Request
) -> tuple[Table, Report] | None:
    """Anonymise, or see that nothing was written."""
    path = folder / "out.csv"
    try:
        return anonymise(write_rows(folder, rows), request, path)
    except GuaranteeError:
        raise  # The search's own fault: never allowed here.
    except DataError:
        assert not path.exists()
        return None


def judged(table: Table) -> pd.DataFrame:
    frame = pd.DataFrame(records(table))
    return frame.assign(ill=frame["ill"].astype(int))


@settings(deadline=None, max_examples=20)
@given(
    rows=TABLES,
    k=st.integers(1, 6),
    limit=st.sampled_from([0.0, 0.1, 0.4, 30.0]),
)
def test_k_holds_or_nothing_is_written(
    rows: Rows, k: int, limit: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        request = ask(k=k, supp_level=limit)
        if done := attempt(Path(folder), rows, request):
            output, report = done
            frame = judged(output)
            assert anonymity.k_anonymity(frame, list(QIS)) == report.reached.k
            assert report.reached.k >= k
            assert len(rows) - len(frame) == report.suppressed
            assert report.suppressed <= request.limit * len(rows) + 1e-9
            kept = [r["id"] for r in records(output)]
            order = [r["id"] for r in rows]
            assert kept == [i for i in order if i in set(kept)]


@settings(deadline=None, max_examples=20)
@given(
    rows=TABLES,
    wanted=st.sampled_from([1, 2, 3]),
    limit=st.sampled_from([0.0, 0.4]),
    diversity=st.sampled_from(Diversity),
)
def test_l_holds_or_nothing_is_written(
    rows: Rows, wanted: int, limit: float, diversity: Diversity
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        request = ask(
            sensitive=("ill",),
            l_value=wanted,
            diversity=diversity,
            supp_level=limit,
        )
        if done := attempt(Path(folder), rows, request):
            frame, (_, report) = judged(done[0]), done
            distinct = anonymity.l_diversity(frame, list(QIS), ["ill"])
            assert distinct == report.reached.distinct_l
            entropy = report.reached.entropy_l
            assert entropy is not None
            judge = anonymity.entropy_l_diversity(frame, list(QIS), ["ill"])
            # The judge rounds down.
            assert judge - 1e-6 <= entropy <= judge + 1 + 1e-6
            got = entropy if diversity is Diversity.ENTROPY else distinct
            assert got >= wanted - 1e-6


ONE_LEFT = [
    {"id": "a", "age": "20", "zip": "101", "sex": sex, "ill": ill}
    for sex, ill in (("F", "1"), ("F", "1"), ("M", "2"))
]
"""By suppressing the last one all that is left would have one value."""


@settings(deadline=None, max_examples=20)
@example(rows=ONE_LEFT, t=0.05, limit=0.5, measure=Measure.AUTO)
@given(
    rows=TABLES,
    t=st.sampled_from([0.05, 0.2, 0.5]),
    limit=st.sampled_from([0.0, 0.5]),
    measure=st.sampled_from([Measure.AUTO, Measure.EQUAL]),
)
def test_t_holds_or_nothing_is_written(
    rows: Rows, t: float, limit: float, measure: Measure
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        request = ask(
            sensitive=("ill",), t=t, supp_level=limit, measure=measure
        )
        if done := attempt(Path(folder), rows, request):
            frame, (_, report) = judged(done[0]), done
            if measure is Measure.EQUAL:
                frame = frame.assign(ill=frame["ill"].astype(str))
            assert frame["ill"].nunique() > 1, "or it tells all"
            judge = anonymity.t_closeness(frame, list(QIS), ["ill"])
            assert report.reached.t == pytest.approx(judge, abs=1e-6)
            assert judge <= t + 1e-6


def brute_force(folder: Path, rows: Rows, request: Request) -> float | None:
    """Return the least loss over all nodes, in the simplest way."""
    columns = encode(write_rows(folder, rows), QIS)
    levels = [
        levels_of(c, hierarchy(c.name, HIERARCHIES[c.name], lambda _: ""))
        for c in columns
    ]
    best = math.inf
    for node in itertools.product(*map(range, map(len, levels))):
        cells, losses = [], []
        for column, each, level in zip(columns, levels, node, strict=True):
            cells.append(each[level].codes[column.codes])
            losses.append(each[level].loss[column.codes])
        keys = list(zip(*cells, strict=True))
        sizes = Counter(keys)
        keep = np.array([sizes[key] >= request.k for key in keys])
        gone = int((~keep).sum())
        if gone <= request.limit * len(rows) + 1e-9 and keep.any():
            lost = np.sum(losses, axis=0)[keep].sum() / len(node)
            best = min(best, (lost + gone) / len(rows))
    return None if math.isinf(best) else best


@settings(deadline=None, max_examples=20)
@given(
    rows=TABLES,
    k=st.integers(2, 5),
    limit=st.sampled_from([0.0, 0.2, 0.4]),
)
def test_the_loss_is_the_least_of_all(
    rows: Rows, k: int, limit: float
) -> None:
    """The pruned search finds what looking everywhere finds."""
    with tempfile.TemporaryDirectory() as folder:
        request = ask(k=k, supp_level=limit)
        least = (
            brute_force(Path(folder), rows, request)
            if k <= len(rows)
            else None
        )
        done = attempt(Path(folder), rows, request)
        assert (done is None) == (least is None)
        if done and least is not None:
            assert done[1].loss == pytest.approx(least, abs=1e-9)


def test_the_documented_example_comes_out_as_documented(
    tmp_path: Path,
) -> None:
    request = Request(
        quasi_identifiers=("gender", "age"),
        k=4,
        ident=("name",),
        sensitive=("disease",),
        hierarchies=SIMPL,
    )
    table = csv_table(tmp_path, PEOPLE)
    output, report = anonymise(table, request, tmp_path / "out.csv")
    rows = records(output)
    assert [r["Name"] for r in rows] == ["*"] * 12
    assert report.notes == ("ident 'name' is taken for column 'Name'",)
    assert [r["gender"] for r in rows] == list("FFFFMMMMFFFF")
    assert {r["age"] for r in rows} == {"[20, 30)", "[30, 40)", "[40, 50)"}
    assert [r["id"] for r in rows] == [str(n) for n in range(1, 13)]
    assert report.risk.prosecutor == pytest.approx(0.25)
    assert report.risk.marketer == pytest.approx(3 / 12)
    assert report.loss == pytest.approx((3 / 11 + 0) / 2)


def test_other_columns_stay_as_they_are_byte_by_byte(tmp_path: Path) -> None:
    text = 'z,a,q,"we ird"\n007,"",x,"a, b"\n1e3,,x," "\n'
    request = Request(quasi_identifiers=("q",), k=2)
    output, _ = anonymise(
        csv_table(tmp_path, text), request, tmp_path / "out.csv"
    )
    assert text_of(output) == 'z,a,q,we ird\n007,"",x,"a, b"\n1e3,,x, \n'


def test_types_of_other_columns_stay_in_parquet(tmp_path: Path) -> None:
    table = parquet_table(
        tmp_path, {"n": [1, None], "age": [21, 29], "f": [0.5, 1.5]}
    )
    request = Request(
        quasi_identifiers=("age",), k=2, hierarchies={"age": "simpl_age"}
    )
    output, _ = anonymise(table, request, tmp_path / "out.parquet")
    assert [str(f.type) for f in output.schema()] == [
        "int64",
        "string",
        "double",
    ]
    (batch,) = output.batches()
    assert batch.to_pydict() == {
        "n": [1, None],
        "age": ["[20, 30)", "[20, 30)"],
        "f": [0.5, 1.5],
    }


NULLS = "q,v\nx,1\nx,2\n,3\n,4\ny,5\ny,6\n"


def test_nulls_are_a_class_of_their_own_by_default(tmp_path: Path) -> None:
    request = Request(quasi_identifiers=("q",), k=2)
    table = csv_table(tmp_path, NULLS)
    output, report = anonymise(table, request, tmp_path / "out.csv")
    assert text_of(output) == NULLS
    assert report.notes == ("column 'q' has 2 nulls: own_class",)


def test_nulls_are_suppressed_within_the_limit(tmp_path: Path) -> None:
    table = csv_table(tmp_path, NULLS)
    out = tmp_path / "out.csv"
    request = Request(
        quasi_identifiers=("q",), k=2, nulls=NullRule.SUPPRESS, supp_level=0.4
    )
    output, report = anonymise(table, request, out)
    assert text_of(output) == "q,v\nx,1\nx,2\ny,5\ny,6\n"
    assert report.suppressed == 2
    strict = Request(quasi_identifiers=("q",), k=2, nulls=NullRule.SUPPRESS)
    with pytest.raises(DataError, match="2 rows with nulls count"):
        anonymise(table, strict, tmp_path / "no.csv")
    assert not (tmp_path / "no.csv").exists()


def test_a_failed_check_leaves_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the search says: what it wrote is judged anew."""
    monkeypatch.setattr(
        rules.KAnonymity,
        "failing",
        lambda _, classes: np.zeros(len(classes.sizes), dtype=np.bool_),
    )
    table = csv_table(tmp_path, PEOPLE)
    request = Request(quasi_identifiers=("age",), k=3)
    with pytest.raises(GuaranteeError, match="k is 1, not 3"):
        anonymise(table, request, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
