"""Jobs whose message the broker lost are found, each of them, cheaply."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from moderate.clients.platform_models import AssetObject, Job
from moderate.flows.matrix_profile.reconcile import (
    PROBES,
    Found,
    Position,
    walk,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OLD = NOW - timedelta(hours=1)
GRACE = timedelta(minutes=5)


def a_job(job_id: int, *, done: bool, created: datetime = OLD) -> Job:
    return Job.model_validate(
        {
            "id": job_id,
            "job_type": "matrix_profile",
            "arguments": {"uploaded_s3_object_id": 1},
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
        return None


def look(
    table: Table, start: Position | None = None, limit: int = 999
) -> Found:
    return walk(
        table,
        start or Position(),
        now=NOW,
        grace=GRACE,
        limit=limit,
        in_time=lambda: True,
    )


def ids(found: Found) -> list[int]:
    return [job.id for job in found.open_jobs]


def test_open_jobs_past_their_grace_are_found_over_gaps() -> None:
    table = Table(
        a_job(1, done=True), a_job(40, done=False), a_job(99, done=False)
    )
    assert ids(look(table)) == [40, 99]


def test_the_cursor_does_not_pass_a_job_that_is_too_young() -> None:
    """It may still be lost: a cursor beyond it would never find it."""
    table = Table(a_job(1, done=True), a_job(2, done=False, created=NOW))
    found = look(table)
    assert not found.open_jobs
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
