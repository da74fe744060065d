"""Jobs whose message the broker lost are found, each of them, cheaply."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.clients.platform_models import AssetObject, Job
from moderate.errors import PermanentError
from moderate.flows.matrix_profile.messages import item_of, parse
from moderate.flows.matrix_profile.reconcile import (
    PROBES,
    Found,
    Position,
    walk,
)
from moderate.inbox.model import State

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OLD = NOW - timedelta(hours=1)
GRACE = timedelta(minutes=5)


OBJECT = {
    "id": 1,
    "key": "alice-assets/a.csv",
    "bucket": "moderate",
    "asset_id": 1,
    "sha256_hash": "",
    "created_at": "2026-11-21T07:50:55.927481",
}
REFUSED = 422
ARGUMENTS = {"uploaded_s3_object_id": 1, "analysis_variable": "a"}


def a_job(
    job_id: int,
    *,
    done: bool = False,
    created: datetime = OLD,
    job_type: str = "matrix_profile",
    arguments: Mapping[str, object] | None = None,
) -> Job:
    return Job.model_validate(
        {
            "id": job_id,
            "job_type": job_type,
            "arguments": ARGUMENTS if arguments is None else arguments,
            "results": None,
            "created_at": created.replace(tzinfo=None).isoformat(),
            "finalised_at": (
                NOW.replace(tzinfo=None).isoformat() if done else None
            ),
            "creator_username": "alice",
        }
    )


class Table:
    """A platform with these jobs, that counts what it is asked."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.asked: list[int] = []

    def count_jobs(self) -> int:
        return len(self.jobs)

    def get_job(self, job_id: int) -> Job | None:
        self.asked.append(job_id)
        return self.jobs.get(job_id)

    def get_object(self, object_id: int) -> AssetObject | None:
        if object_id == REFUSED:
            msg = "422"
            raise PermanentError(msg)
        if object_id != OBJECT["id"]:
            return None
        return AssetObject.model_validate(OBJECT)


def look(
    table: Table,
    start: Position | None = None,
    limit: int = 999,
    known: Collection[int] = (),
) -> Found:
    return walk(
        table,
        start or Position(),
        is_known=lambda job: job.id in known,
        now=NOW,
        grace=GRACE,
        limit=limit,
        in_time=lambda: True,
    )


def ids(found: Found) -> list[int]:
    return [int(item.key) for item in found.lost]


def test_open_jobs_past_their_grace_are_found_over_gaps() -> None:
    table = Table(
        a_job(1, done=True), a_job(40, done=False), a_job(99, done=False)
    )
    assert ids(look(table)) == [40, 99]


def test_the_cursor_does_not_pass_a_job_that_is_too_young() -> None:
    """It may still be lost: a cursor beyond it would never find it."""
    table = Table(a_job(1, done=True), a_job(2, done=False, created=NOW))
    found = look(table)
    assert not found.lost
    assert found.position.next_id == 2


def test_without_news_a_walk_costs_a_few_probes() -> None:
    table = Table(*(a_job(n, done=True) for n in range(1, 101)))
    first = look(table)
    table.asked.clear()
    look(table, first.position)
    assert len(table.asked) == PROBES


def test_a_finalised_young_job_is_not_passed_either() -> None:
    """The id below it may belong to a transaction that is still open."""
    table = Table(a_job(1, done=True), a_job(3, done=True, created=NOW))
    assert look(table).position.next_id == 2


def test_a_gap_wider_than_a_tick_is_crossed_by_several() -> None:
    table = Table(a_job(1, done=True), a_job(500, done=False))
    position, seen = Position(), []
    for _ in range(60):
        found = look(table, position, limit=10)
        seen += ids(found)
        position = found.position
    assert seen == [500]


def test_a_shrunken_table_is_walked_again_from_the_start() -> None:
    """Otherwise the deleted jobs would hide as many new ones."""
    table = Table(*(a_job(n, done=True) for n in range(1, 11)))
    position = look(table).position
    for gone in (1, 2, 3):
        del table.jobs[gone]
    position = look(table, position).position
    assert position.answered == 7
    table.jobs[30] = a_job(30, done=False)
    assert ids(look(table, position)) == [30]


def test_a_lost_job_becomes_the_item_that_its_message_would_have_been() -> (
    None
):
    (item,) = look(Table(a_job(7))).lost
    message = (
        b'{"workflow_job_id": 7, "analysis_variable": "a",'
        b' "bucket": "moderate", "key": "alice-assets/a.csv"}'
    )
    assert item == item_of(parse(message))


@pytest.mark.parametrize(
    ("object_id", "variable", "read_as"),
    [("1", "a", "a"), (1.0, 5, "5"), (1, 2.5, "2.5")],
)
def test_arguments_are_read_as_the_platform_reads_them(
    object_id: object, variable: object, read_as: str
) -> None:
    """It keeps them as they were posted, and took them."""
    posted = {
        "uploaded_s3_object_id": object_id,
        "analysis_variable": variable,
    }
    (item,) = look(Table(a_job(1, arguments=posted))).lost
    assert item.payload["key"] == OBJECT["key"]
    assert item.payload["analysis_variable"] == read_as


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "does not exist"),
        ({**ARGUMENTS, "uploaded_s3_object_id": 2}, "does not exist"),
        ({**ARGUMENTS, "uploaded_s3_object_id": REFUSED}, "422"),
        ({"uploaded_s3_object_id": 1}, "analysis_variable"),
        ({**ARGUMENTS, "analysis_variable": ""}, "analysis_variable"),
    ],
)
def test_a_lost_job_that_cant_be_done_is_dead_and_holds_up_no_other(
    arguments: dict[str, object], reason: str
) -> None:
    found = look(Table(a_job(1, arguments=arguments), a_job(2)))
    bad, good = found.lost
    assert (bad.state, good.state) == (State.DEAD, State.PENDING)
    assert reason in str(bad.error)
    assert bad.payload["workflow_job_id"] == 1, "so that it is told"
    assert bad.outcome
    assert bad.outcome["error"].startswith("The analysis could not be started")


def test_jobs_of_other_types_are_nobody_of_ours() -> None:
    table = Table(a_job(1, job_type="forecast"), a_job(2))
    assert ids(look(table)) == [2]


def test_what_the_inbox_knows_is_not_looked_up_again() -> None:
    assert ids(look(Table(a_job(1), a_job(2)), known={1})) == [2]


@given(
    st.sets(st.integers(1, 60)),
    st.sets(st.integers(1, 60)),
    st.integers(1, 20),
)
def test_walks_of_any_size_find_every_open_job(
    done: set[int], lost: set[int], limit: int
) -> None:
    table = Table(
        *(a_job(n, done=True) for n in done - lost),
        *(a_job(n, done=False) for n in lost),
    )
    seen: list[int] = []
    position = Position()
    for _ in range(80):
        found = look(table, position, limit + PROBES)
        seen += ids(found)
        position = found.position
    assert sorted(seen) == sorted(lost)
