"""The numbers of kinds are right, and cost what is open, not what is over."""

from datetime import timedelta
from typing import Any, LiteralString

import pytest
from psycopg.sql import SQL

from moderate.inbox.database import transaction
from moderate.inbox.measures import (
    KindMeasures,
    count_ended,
    dead_since,
    measure_kinds,
)
from moderate.inbox.model import State
from moderate.inbox.queries import statement
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.test_dispatch import rows_read
from moderate_tests.integration.inbox.world import (
    JOB,
    PARCEL,
    change,
    record,
)

pytestmark = pytest.mark.services

PAST = """
INSERT INTO work_item (kind, key, state, finished_at, dropped_at)
SELECT 'job', 'past-' || n, 'done', moment,
       CASE WHEN n %% 2 = 0 THEN clock_timestamp() END
  FROM generate_series(1, 20000) AS n,
       LATERAL (SELECT clock_timestamp() - interval '2 hours'
                    - interval '1 s' * n AS moment) AS t
"""

LONG_DUE = (
    "UPDATE work_item SET next_attempt_at = clock_timestamp() -"
    " '900 s'::interval"
)


CHANGES: tuple[LiteralString, ...] = (
    (
        "UPDATE work_item SET next_attempt_at = clock_timestamp() +"
        " '1 hour'::interval WHERE key = 'later'"
    ),
    (
        "UPDATE work_item SET next_attempt_at = clock_timestamp() -"
        " '90 s'::interval WHERE key = 'due'"
    ),
    (
        "UPDATE work_item SET waits_for ="
        " (SELECT id FROM work_item WHERE key = 'due') WHERE key = 'waits'"
    ),
    (
        "UPDATE work_item SET state = 'dead', finished_at ="
        " clock_timestamp() WHERE key IN ('dead', 'gone')"
    ),
    "UPDATE work_item SET dropped_at = clock_timestamp() WHERE key = 'gone'",
    (
        "UPDATE work_item SET state = 'done', failures = 1, finished_at ="
        " clock_timestamp() WHERE key = 'done'"
    ),
    (
        "UPDATE work_item SET state = 'done', finished_at ="
        " clock_timestamp() - '61 min'::interval WHERE key = 'old'"
    ),
)


def measured(inbox: Inbox, kind: str = JOB) -> KindMeasures:
    with inbox.transaction() as conn:
        (found,) = measure_kinds(conn, [kind])
    return found


def test_a_kind_without_items_is_measured_too(inbox: Inbox) -> None:
    assert measured(inbox) == KindMeasures(JOB, 0, 0, 0.0, 0, 0, 0, 0, 0)


def test_items_count_where_they_are(inbox: Inbox) -> None:
    record(inbox, "due", "later", "waits", "dead", "gone", "done", "old")
    record(inbox, "other", kind=PARCEL)
    for text in CHANGES:
        change(inbox.where, text)
    found = measured(inbox)
    assert (found.pending, found.due, found.dead) == (3, 1, 1)
    assert 90 <= found.oldest_due_seconds < 120
    assert (found.done_last_hour, found.attempts) == (1, 2)
    assert measured(inbox, PARCEL).pending == 1


def test_an_item_whose_run_does_not_begin_grows_old(inbox: Inbox) -> None:
    """Its run may wait in Dagster's queue for hours, and is due meanwhile."""
    record(inbox, "1")
    change(inbox.where, LONG_DUE)
    assert inbox.dispatch([JOB]) == 1
    found = measured(inbox)
    assert (found.due, found.dispatched) == (0, 1)
    assert 900 <= found.oldest_due_seconds < 990
    (batch,) = inbox.unbound([JOB])
    assert inbox.bind(batch.id, "run")
    assert measured(inbox).oldest_due_seconds == 0, "a run works on it"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("measure_kinds", {"kinds": [JOB, PARCEL]}),
        ("prune_done", {"kind": JOB, "age": timedelta(days=30), "limit": 9}),
        (
            "count_ended",
            {"kinds": [JOB], "since": None, "lag": timedelta(seconds=5)},
        ),
    ],
)
def test_what_is_over_is_not_read(
    inbox: Inbox, name: str, values: dict[str, Any]
) -> None:
    """Looks and prunings cost the same after a million items."""
    record(inbox, "1")
    change(inbox.where, PAST)
    change(inbox.where, "ANALYZE work_item")
    with transaction(inbox.where) as conn:
        plan = conn.execute(
            SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + statement(name), values
        ).fetchone()
    assert plan is not None
    assert rows_read(plan["QUERY PLAN"][0]["Plan"]) < 100


def test_ends_are_counted_from_where_the_last_count_stopped(
    inbox: Inbox,
) -> None:
    record(inbox, "1", "2")
    end = (
        "UPDATE work_item SET state = 'done', finished_at ="
        " clock_timestamp() - %(ago)s::interval WHERE key = %(key)s"
    )
    change(inbox.where, end, ago="1 hour", key="1")
    with inbox.transaction() as conn:
        first = count_ended(conn, [JOB], None)
    assert first.counts == {}
    change(inbox.where, end, ago="5 s", key="2")
    with inbox.transaction() as conn:
        second = count_ended(conn, [JOB], first.until)
        third = count_ended(conn, [JOB], second.until)
    assert second.counts == {(JOB, State.DONE): 1}
    assert third.counts == {}


def test_what_died_is_found_once_in_order(inbox: Inbox) -> None:
    """Items that died in one statement share their time."""
    record(inbox, *"123")
    change(
        inbox.where,
        "UPDATE work_item SET state = 'dead', finished_at ="
        " transaction_timestamp() - '1 min'::interval",
    )
    with inbox.transaction() as conn:
        (first, *rest) = dead_since(conn, [JOB], _hour_ago(conn), 0)
        again = dead_since(conn, [JOB], first.finished_at, first.id)
    assert [each.id for each in again] == [each.id for each in rest]
    assert len(again) == 2


def _hour_ago(conn: Any) -> Any:
    row = conn.execute(
        "SELECT clock_timestamp() - '1 hour'::interval AS then"
    ).fetchone()
    return row["then"]
