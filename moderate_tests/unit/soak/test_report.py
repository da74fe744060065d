"""The report tells what happened, by itself, and nothing runs in it."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from moderate.inbox.model import State
from moderate_tests.soak.figures import Memory, Struck, Success
from moderate_tests.soak.ledger import Facts, Flow, TrustFacts, Wrong
from moderate_tests.soak.report import render
from moderate_tests.soak.result import (
    SERIES_POINTS,
    Circumstances,
    Result,
    thin,
    weigh,
)
from moderate_tests.soak.watch import Sample

CIRCUMSTANCES = Circumstances(
    seed=42,
    seconds=600,
    settled=20,
    date="2026-01-01 00:00 UTC",
    commit="abc1234",
    machine="2 cores",
)
USER = TrustFacts(Flow.USERS, "ada", [State.DONE], effects=1)
HOSTILE = "<script>alert(1)</script>"


SOON = [Success(flow, at=17.5, delay=4.0) for flow in Flow]


def result_of(
    *users: TrustFacts,
    successes: Sequence[Success] = (),
    growth: float = 0.0,
) -> Result:
    return weigh(
        CIRCUMSTANCES,
        Facts(trust=users, jobs=[], tables=[]),
        faults=[Struck("kill worker", 10, 15, fell=["intake"])],
        successes=successes,
        refused={Flow.USERS: 3},
        samples=[
            Sample(
                at,
                dict.fromkeys(Flow, at),
                dict.fromkeys(Flow, 2 * at),
                connections=at % 50,
            )
            for at in range(600)
        ],
        memory=[
            Memory("worker", 1, at, 2**27 + int(growth * at))
            for at in range(600)
        ],
    )


def test_the_page_shows_an_even_ledger_with_its_seed_and_faults() -> None:
    page = render(result_of(USER, successes=SOON))
    assert "seed 42" in page
    assert "kill worker" in page
    assert "2.5" in page  # recovery
    assert "What is wrong" not in page
    assert page.count("<polyline") == 2 * len(Flow) + 1


def test_the_page_names_what_is_wrong() -> None:
    result = result_of(replace(USER, effects=0))
    page = render(result)
    assert not result.is_even
    assert result.counts[Wrong.LOST] == 1
    assert "What is wrong" in page
    assert "ada" in page


def test_names_are_escaped_and_nothing_is_loaded_or_run() -> None:
    page = render(result_of(replace(USER, name=HOSTILE, effects=0)))
    assert HOSTILE not in page
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)


def test_a_flow_that_never_went_again_is_not_recovered() -> None:
    assert result_of(USER, successes=SOON).is_recovered
    assert not result_of(USER, successes=SOON[1:]).is_recovered
    late = [replace(SOON[0], at=80.0), *SOON[1:]]
    assert not result_of(USER, successes=late).is_recovered


def test_a_flow_that_never_went_again_is_not_left_out_of_the_summary() -> None:
    result = result_of(USER, successes=SOON[1:])
    assert "slowest recovery: 2 s, 1 not recovered" in str(result)
    assert "1 not recovered" in render(result)


def test_a_soak_is_passed_if_no_target_is_missed() -> None:
    assert not result_of(USER, successes=SOON).missed


def test_each_target_that_is_missed_is_named() -> None:
    """Each alone: what is even is not passed by that."""
    late = [replace(SOON[0], at=80.0), *SOON[1:]]
    assert result_of(replace(USER, effects=2), successes=SOON).missed == [
        "doubled 1"
    ]
    assert result_of(USER, successes=late).missed == [
        "not recovered in 60 s: users after kill worker: 65 s"
    ]
    assert result_of(USER, successes=SOON[1:]).missed == [
        "not recovered in 60 s: users after kill worker: never"
    ]
    assert result_of(USER, successes=SOON, growth=2**17).missed == [
        "memory grows: worker"
    ]


def test_the_most_connections_at_once_are_told() -> None:
    assert "at most 49 connections to Postgres" in str(result_of(USER))


def test_programs_get_the_same_facts() -> None:
    result = result_of(replace(USER, effects=2))
    facts = json.loads(result.as_json())
    assert facts["counts"]["doubled"] == 1
    assert facts["findings"][0]["item"] == "ada"
    assert facts["faults"][0]["recovery"][Flow.JOBS] is None
    assert facts["trends"][0]["is_flat"]
    assert facts["circumstances"]["seed"] == 42


def test_a_long_soak_does_not_make_a_large_page() -> None:
    points = thin([(float(n), float(n)) for n in range(36_000)])
    assert len(points) <= SERIES_POINTS
    assert len(render(result_of(USER))) < 300_000


def test_memory_that_nobody_judged_is_not_called_flat() -> None:
    result = replace(result_of(USER, successes=SOON), trends=[])
    assert result.is_flat is None
    assert not result.missed
    assert "not judged" in render(result)
    assert "not judged" in str(result)
