"""An item ends once, with one final word, or not at all."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, LiteralString

import pytest

from moderate.errors import PermanentError
from moderate.inbox import admin
from moderate.inbox.database import Address
from moderate.inbox.lease import Ended, LeaseLostError
from moderate.inbox.model import State
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.world import (
    JOB,
    RACERS,
    SILENCE,
    WORD,
    batch_of,
    blocked,
    change,
    fall_silent,
    lease_of,
    lock_on,
    look,
    race,
    record,
    states,
    wait_until,
    words,
    words_of,
)


def test_an_item_that_is_done_keeps_its_outcome_and_has_a_final_word(
    inbox: Inbox,
) -> None:
    """Rule 7: the word is of the item as it has ended."""
    lease = lease_of(inbox, "1")
    ended = lease.done(lease.items[0], {"report": "x.html"})
    assert ended.item == look(inbox, "1")
    assert (ended.item.state, ended.item.failures) == (State.DONE, 0)
    assert ended.item.finished_at is not None
    (word,) = words(inbox)
    assert ended.word is not None
    assert (ended.word.key, ended.word.payload) == (word.key, word.payload)
    assert word.payload["state"] == "done"
    assert word.payload["outcome"] == {"report": "x.html"}


def test_an_item_that_was_cancelled_is_told_as_cancelled(
    inbox: Inbox,
) -> None:
    """Rule 8: cancelled is a state of its own, and no failure."""
    lease = lease_of(inbox, "1")
    ended = lease.cancelled(lease.items[0], {"error": "by a person"})
    assert (ended.item.state, ended.item.failures) == (State.CANCELLED, 0)
    (word,) = words_of(inbox, ended.item)
    assert word["state"] == "cancelled"
    assert word["outcome"] == {"error": "by a person"}
    assert inbox.dispatch([JOB]) == 0


def test_an_item_that_is_dead_keeps_its_reason_and_its_outcome(
    inbox: Inbox,
) -> None:
    lease = lease_of(inbox, "1")
    ended = lease.failed(
        lease.items[0],
        PermanentError("x"),
        reason="no such column",
        outcome={"log": "key"},
    )
    assert isinstance(ended, Ended)
    assert (ended.item.state, ended.item.failures) == (State.DEAD, 1)
    assert ended.item.last_error == "no such column"
    (word,) = words_of(inbox, ended.item)
    assert (word["state"], word["error"]) == ("dead", "no such column")
    assert word["outcome"] == {"log": "key"}


def test_a_kind_without_a_final_word_ends_in_silence(inbox: Inbox) -> None:
    lease = lease_of(inbox, "1", kind=WORD)
    ended = lease.done(lease.items[0], {})
    assert ended.word is None
    assert len(words(inbox)) == 1  # itself


def test_threads_that_end_the_same_item_differently_leave_one_end(
    inbox: Inbox,
) -> None:
    """Rule 7: never two different ones."""
    for round_ in range(5):
        lease = lease_of(inbox, str(round_))
        (item,) = lease.items

        def end(number: int) -> bool:
            try:
                lease.done(item, {"by": number})  # noqa: B023
            except LeaseLostError:
                return False
            return True

        ended = race(*(partial(end, number) for number in range(RACERS)))
        assert sum(ended) == 1
        (word,) = words_of(inbox, item)
        by = {"by": ended.index(True)}
        assert word["outcome"] == look(inbox, str(round_)).outcome == by


def test_each_attempt_by_hand_has_a_final_word_of_its_own(
    inbox: Inbox,
) -> None:
    """Rule 7: what was told of the last attempt is not changed."""
    lease = lease_of(inbox, "1")
    lease.failed(lease.items[0], PermanentError(), reason="first")
    before = words(inbox)
    with inbox.transaction() as conn:
        admin.retry_item(conn, lease.items[0].id, who="me", why="mended")
    lease = lease_of(inbox, "1", run="second")
    lease.done(lease.items[0], {})
    first, second = words(inbox)
    assert [first] == before
    assert [first.payload["state"], second.payload["state"]] == [
        "dead",
        "done",
    ]


def test_a_final_word_that_fails_keeps_the_item_from_ending(
    own_inbox: Inbox,
) -> None:
    """Rule 7: both or neither; the item would else never be told."""
    lease = lease_of(own_inbox, "1")
    change(
        own_inbox.where,
        "ALTER TABLE work_item ADD CHECK (kind <> 'word' OR key = '')",
    )
    with pytest.raises(Exception, match="violates check constraint"):
        lease.done(lease.items[0], {})
    assert look(own_inbox, "1").state == State.RUNNING
    lease.beat()


END_IN_A_PROCESS = textwrap.dedent(
    """
    import sys
    from moderate.inbox.database import Address
    from moderate.inbox.lease import Lease
    from moderate_tests.integration.inbox.world import KINDS
    from moderate.inbox.store import Inbox

    conninfo, batch_id, run_id = sys.argv[1:]
    lease = Inbox(Address(conninfo), KINDS).bind(int(batch_id), run_id)
    print("bound", flush=True)
    lease.done(lease.items[0], {"by": "the process"})
    print("done", flush=True)
    """
)

LATE_STEPS: dict[str, LiteralString] = {
    # Each holds up a later step of the transaction that ends the item.
    "before the end": "LOCK TABLE batch IN ACCESS EXCLUSIVE MODE",
    "before the word": (
        "INSERT INTO work_item (kind, key) SELECT 'word', id || '/1'"
        " FROM work_item"
    ),
}


@pytest.mark.parametrize("moment", LATE_STEPS)
def test_a_run_killed_in_the_midst_leaves_neither_end_nor_word(
    inbox: Inbox, inbox_address: Address, moment: str
) -> None:
    """Rule 7 and "nothing is lost": kill -9, then both or neither."""
    lease = lease_of(inbox, "1", run="process")
    statement = LATE_STEPS[moment]
    command = [
        *(sys.executable, "-c", END_IN_A_PROCESS),
        *(inbox_address.conninfo, str(lease.batch_id), "process"),
    ]
    with subprocess.Popen(command) as process, killed(process):
        with lock_on(inbox.where, statement):
            wait_until(lambda: blocked(inbox.where) == 1)
            process.kill()
            assert process.wait(timeout=60) == -signal.SIGKILL
        wait_until(lambda: sessions_at_work(inbox) == 0)
    assert look(inbox, "1").state == State.RUNNING
    assert words(inbox) == []
    # What the process can't do any more the reconcile does.
    batch = batch_of(inbox, lease)
    fall_silent(inbox, lease)
    assert inbox.free_silent(batch, "silent", silence=SILENCE)
    assert states(inbox, "1") == [State.PENDING]


@contextmanager
def killed(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Let no process outlive its test, however that ends."""
    try:
        yield
    finally:
        process.kill()


def sessions_at_work(inbox: Inbox) -> int:
    rows = change(
        inbox.where,
        "SELECT count(*) AS n FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND state <> 'idle' AND backend_type = 'client backend'",
    )
    return int(rows[0]["n"])


def test_a_run_killed_after_the_commit_leaves_both_end_and_word(
    inbox: Inbox, inbox_address: Address
) -> None:
    """Rule 7: what is committed needs the process no more."""
    lease = lease_of(inbox, "1", run="process")
    command = [
        *(sys.executable, "-c", END_IN_A_PROCESS),
        *(inbox_address.conninfo, str(lease.batch_id), "process"),
    ]
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True
        ) as process,
        killed(process),
    ):
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.kill()
    assert lines == ["bound\n", "done\n"]
    item = look(inbox, "1")
    assert item.outcome == {"by": "the process"}
    assert len(words_of(inbox, item)) == 1
    assert inbox.open_batches([JOB]) == []


def test_recorded_events_are_all_there_or_none_when_a_tick_is_killed(
    inbox: Inbox,
) -> None:
    """Nothing is lost: the source is acknowledged only after the commit."""
    script = textwrap.dedent(
        """
        import sys
        from moderate.inbox.database import Address
        from moderate.inbox.model import NewItem
        from moderate.inbox.store import Inbox
        from moderate_tests.integration.inbox.world import KINDS
        inbox = Inbox(Address(sys.argv[1]), KINDS)
        with inbox.transaction() as conn:
            inbox.record(conn, [NewItem("job", f"{n}") for n in range(100)])
            inbox.record(conn, [NewItem("job", "held up")])
        """
    )
    command = [sys.executable, "-c", script, inbox.where.conninfo]
    with subprocess.Popen(command) as process, killed(process):
        with lock_on(
            inbox.where,
            "INSERT INTO work_item (kind, key) VALUES ('job', 'held up')",
        ):
            wait_until(lambda: blocked(inbox.where) == 1)
            process.kill()
            assert process.wait(timeout=60) == -signal.SIGKILL
        wait_until(lambda: sessions_at_work(inbox) == 0)
    rows = change(inbox.where, "SELECT count(*) AS n FROM work_item")
    assert rows[0]["n"] == 0
    assert len(record(inbox, *map(str, range(100)))) == 100
