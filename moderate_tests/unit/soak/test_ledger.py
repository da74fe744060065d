"""The ledger finds each thing that may be wrong, and nothing else."""

from dataclasses import replace

import pytest

from moderate.inbox.model import State
from moderate_tests.soak.ledger import (
    Facts,
    Flow,
    JobFacts,
    Shape,
    TableFacts,
    TrustFacts,
    Wrong,
    judge,
)

REPORT = "matrixprofile-7-3-1.html"
WORD = {"workflow_job_id": 7, "error": None, "output_key": REPORT}
OTHER_WORD = {"workflow_job_id": 7, "error": "It broke.", "output_key": None}

USER = TrustFacts(Flow.USERS, "ada", [State.DONE], effects=1)
OBJECT = TrustFacts(
    Flow.OBJECTS, "a.csv", [State.DONE], effects=1, is_held=True
)
JOB = JobFacts(
    name="7",
    states=[State.DONE],
    words=[State.DONE],
    told=[WORD],
    held=WORD,
    reports=[REPORT],
)
TABLE = TableFacts("meters.t1", Shape(2, 10), [Shape(2, 10)])
DROPPED = TableFacts("meters.t2", None, [])


def facts_of(*items: TrustFacts | JobFacts | TableFacts) -> Facts:
    return Facts(
        trust=[each for each in items if isinstance(each, TrustFacts)],
        jobs=[each for each in items if isinstance(each, JobFacts)],
        tables=[each for each in items if isinstance(each, TableFacts)],
    )


def test_nothing_is_wrong_where_all_came_about_once() -> None:
    facts = facts_of(USER, OBJECT, JOB, TABLE, DROPPED)
    assert judge(facts) == []
    assert facts.went_in == {
        Flow.USERS: 1,
        Flow.OBJECTS: 1,
        Flow.JOBS: 1,
        Flow.TABLES: 2,
    }


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(replace(USER, states=[], effects=0), id="not-seen"),
        pytest.param(replace(USER, effects=0), id="done-without-effect"),
        pytest.param(
            replace(OBJECT, states=[State.DEAD], effects=0, is_held=False),
            id="given-up",
        ),
        pytest.param(
            replace(JOB, states=[], words=[], told=[], held=None, reports=[]),
            id="job-not-seen",
        ),
        pytest.param(
            replace(JOB, words=[], told=[], held=None), id="job-never-told"
        ),
        pytest.param(
            replace(JOB, told=[OTHER_WORD], held=OTHER_WORD, reports=[]),
            id="job-given-up",
        ),
        pytest.param(replace(TABLE, held=[]), id="table-not-there"),
    ],
)
def test_a_lost_item_is_found(
    item: TrustFacts | JobFacts | TableFacts,
) -> None:
    assert [each.wrong for each in judge(facts_of(item))] == [Wrong.LOST]


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(replace(USER, effects=2), id="two-dids"),
        pytest.param(
            replace(OBJECT, unexplained=["the first had ended well"]),
            id="asked-for-again",
        ),
        pytest.param(
            replace(USER, states=[State.DONE, State.DONE]), id="two-items"
        ),
        pytest.param(
            replace(JOB, words=[State.DONE, State.DONE]), id="two-words"
        ),
        pytest.param(replace(JOB, overlaps=1), id="two-analyses-at-once"),
        pytest.param(
            replace(TABLE, held=[Shape(2, 10), Shape(2, 10)]), id="two-tables"
        ),
    ],
)
def test_a_doubled_effect_is_found(
    item: TrustFacts | JobFacts | TableFacts,
) -> None:
    assert [each.wrong for each in judge(facts_of(item))] == [Wrong.DOUBLED]


@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING])
@pytest.mark.parametrize(
    "item",
    [
        pytest.param(replace(USER, effects=0), id="user"),
        pytest.param(replace(JOB, words=[], told=[], held=None), id="job"),
    ],
)
def test_a_stuck_item_is_found(
    item: TrustFacts | JobFacts, state: State
) -> None:
    found = judge(facts_of(replace(item, states=[state])))
    assert [each.wrong for each in found] == [Wrong.STUCK]


def test_a_final_word_that_waits_is_stuck() -> None:
    waits = replace(JOB, words=[State.PENDING], told=[], held=None)
    assert [each.wrong for each in judge(facts_of(waits))] == [Wrong.STUCK]


def test_what_is_left_at_work_is_stuck() -> None:
    found = judge(Facts([], [], [], left=["run 1 is STARTED"]))
    assert [each.wrong for each in found] == [Wrong.STUCK]


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(replace(OBJECT, is_held=False), id="proof-not-kept"),
        pytest.param(
            replace(USER, states=[State.DEAD]), id="dead-with-effect"
        ),
        pytest.param(
            replace(JOB, told=[OTHER_WORD, WORD]), id="two-different-words"
        ),
        pytest.param(replace(JOB, reports=[]), id="no-such-report"),
        pytest.param(
            replace(JOB, reports=["matrixprofile-8-3-1.html"]),
            id="another-jobs-report",
        ),
        pytest.param(replace(JOB, told=[]), id="told-by-somebody-else"),
        pytest.param(
            replace(TABLE, held=[Shape(1, 10)]), id="columns-not-brought-over"
        ),
        pytest.param(
            replace(TABLE, held=[Shape(2, 9)]), id="rows-not-counted-anew"
        ),
        pytest.param(
            replace(DROPPED, held=[Shape(2, 10)]), id="dropped-and-there"
        ),
    ],
)
def test_what_was_told_wrong_is_found(
    item: TrustFacts | JobFacts | TableFacts,
) -> None:
    found = judge(facts_of(item))
    assert [each.wrong for each in found] == [Wrong.TOLD_WRONG]


def test_the_same_word_told_twice_is_harmless_and_counted() -> None:
    facts = facts_of(replace(JOB, told=[WORD, WORD]))
    assert judge(facts) == []
    assert facts.told_again == 1


def test_a_platform_with_too_many_tasks_at_once_is_found() -> None:
    assert judge(Facts([], [], [], most_tasks=8, task_limit=8)) == []
    assert judge(Facts([], [], [], most_tasks=9, task_limit=8))
