"""Random interleavings of everything that can happen to items.

Runs, ticks, people and crashes take turns in an order that hypothesis
chooses; after each step the rows must keep every promise. What a run may do
is decided by the rows alone: who holds an item has an effect, who doesn't is
told that its lease is lost.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import psycopg
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.rows import dict_row

from moderate.errors import PermanentError, TemporaryError
from moderate.inbox import admin, slots
from moderate.inbox.lease import Ended, Lease, LeaseLostError
from moderate.inbox.model import (
    FINAL_STATES,
    NewItem,
    OpenBatch,
    State,
    WorkItem,
)
from moderate.inbox.store import Inbox
from moderate_tests.integration.inbox.promises import Promises, Row, Rows
from moderate_tests.integration.inbox.world import (
    JOB,
    KINDS,
    LONG_AGO,
    PARCEL,
    SILENCE,
    WORD,
)
from moderate_tests.states import all_documented

MACHINE = settings(
    max_examples=40,
    stateful_step_count=60,
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

SEE_CHANGES = """
CREATE TABLE seen (was text, is_now text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen VALUES (OLD.state, NEW.state);
    RETURN NULL;
END $$;
CREATE TRIGGER see AFTER UPDATE ON work_item FOR EACH ROW
    WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION see();
"""
"""Notes every change of state, whoever makes it."""

NAMES = st.sampled_from("abcdef")
OURS = st.sampled_from([JOB, PARCEL])
RUNS = st.sampled_from(["run 1", "run 2", "run 3"])
ERRORS = st.sampled_from(
    [
        PermanentError("no"),
        TemporaryError("later"),
        TemporaryError("much later", delay=timedelta(hours=3)),
        RuntimeError("?"),
    ]
)
RARELY = st.sampled_from([False, False, False, False, True])
BOUND = 5
"""Of the peer's slots."""

ANY = st.integers(min_value=0, max_value=1_000)


@dataclass(frozen=True)
class Held:
    """What a run believes to hold."""

    lease: Lease

    def item(self, number: int) -> WorkItem:
        return self.lease.items[number % len(self.lease.items)]


class Life(RuleBasedStateMachine):
    """The inbox, those who work with it, and what must be true of it."""

    held = Bundle("held")

    inbox: ClassVar[Inbox]
    conn: ClassVar[psycopg.Connection[Row]]

    def __init__(self) -> None:
        super().__init__()
        self.conn.execute(
            "TRUNCATE work_item, batch, cursor, peer_slot, audit"
            " RESTART IDENTITY"
        )
        self.promises = Promises()
        self.slots: set[int] = set()

    # What the rows say.

    def rows(self, sql: str) -> list[Row]:
        return self.conn.execute(sql.encode()).fetchall()

    def items(self) -> Rows:
        found = self.rows("SELECT * FROM work_item WHERE kind <> 'word'")
        return {row["id"]: row for row in found}

    def batches(self) -> Rows:
        rows = self.rows(
            "SELECT *, heartbeat_at < clock_timestamp() - '1 min'::interval"
            " AS silent FROM batch ORDER BY id"
        )
        return {row["id"]: row for row in rows}

    def holds(self, lease: Lease, item: WorkItem) -> bool:
        row = self.items()[item.id]
        return (row["state"], row["batch_id"], row["run_id"]) == (
            "running",
            lease.batch_id,
            lease.run_id,
        )

    def any_open(self, number: int) -> OpenBatch:
        found = self.inbox.open_batches([JOB, PARCEL])
        return found[number % len(found)]

    def some_open(self) -> bool:
        return bool(self.inbox.open_batches([JOB, PARCEL]))

    # The source and the ticks.

    @rule(kind=OURS, names=st.lists(NAMES, max_size=6), bad=RARELY)
    def record(self, kind: str, names: Sequence[str], *, bad: bool) -> None:
        state = State.DEAD if bad else State.PENDING
        error = "unreadable" if bad else None
        news = [NewItem(kind, name, {}, state, error) for name in names]
        with self.inbox.transaction() as conn:
            new = self.inbox.record(conn, news)
        assert new == {(kind, name) for name in names} - self.promises.recorded
        self.promises.recorded |= new

    @initialize(names=st.lists(NAMES, min_size=3, max_size=6))
    def begin_with_some(self, names: Sequence[str]) -> None:
        self.record(JOB, names, bad=False)
        self.record(PARCEL, names, bad=False)

    @rule(kinds=st.sampled_from([[JOB], [PARCEL], [JOB, PARCEL]]))
    def dispatch(self, kinds: list[str]) -> None:
        self.conn.execute(
            "UPDATE work_item SET next_attempt_at = clock_timestamp()"
            " WHERE state = 'pending' AND kind <> 'word'"
        )
        self.inbox.dispatch(kinds)

    # Runs.

    @rule(target=held, number=ANY, run=RUNS, new=st.booleans())
    def bind(self, number: int, run: str, *, new: bool) -> Any:
        """Bind a batch, also one that is another's or over."""
        if new:
            self.dispatch([JOB, PARCEL])
        batches = [
            batch
            for batch in self.batches().values()
            if not new or batch["state"] == "dispatched"
        ]
        if not batches:
            return multiple()
        batch = batches[number % len(batches)]
        lease = self.inbox.bind(batch["id"], run)
        may = batch["state"] == "dispatched" or (
            (batch["state"], batch["run_id"]) == ("running", run)
        )
        assert (lease is not None) == may
        return multiple() if lease is None else Held(lease)

    @rule(target=held, kind=OURS, name=NAMES, run=RUNS)
    def take_now(self, kind: str, name: str, run: str) -> Any:
        rows = {(r["kind"], r["key"]): r for r in self.items().values()}
        row = rows.get((kind, name))
        free = row and row["state"] == "pending" and not row["waits_for"]
        lease = self.inbox.take_now(kind, name, run)
        assert (lease is not None) == bool(free)
        if lease is None:
            return multiple()
        self.promises.taken.add(lease.batch_id)
        return Held(lease)

    @rule(held=held)
    def beat(self, held: Held) -> None:
        batch = self.batches()[held.lease.batch_id]
        alive = batch["state"] == "running"
        self.act(held.lease.beat, may=alive)

    @rule(held=held, number=ANY)
    def begin(self, held: Held, number: int) -> None:
        item = held.item(number)
        may = self.holds(held.lease, item)
        self.act(lambda: held.lease.begin([item]), may=may)

    @rule(held=held, number=ANY, cancelled=st.booleans())
    def end(self, held: Held, number: int, *, cancelled: bool) -> None:
        item = held.item(number)
        end = held.lease.cancelled if cancelled else held.lease.done
        self.act(
            lambda: end(item, {"by": held.lease.run_id}),
            may=self.holds(held.lease, item),
        )

    @rule(held=held, number=ANY, error=ERRORS)
    def fail(self, held: Held, number: int, error: Exception) -> None:
        item = held.item(number)
        self.act(
            lambda: held.lease.failed(item, error, reason=str(error)),
            may=self.holds(held.lease, item),
        )

    @rule(held=held, number=ANY, kind=OURS, name=NAMES)
    def wait_for(self, held: Held, number: int, kind: str, name: str) -> None:
        item = held.item(number)
        may = self.holds(held.lease, item)
        try:
            self.act(
                lambda: held.lease.wait_for(item, kind, name, "needs it"),
                may=may,
            )
        except LookupError:
            assert (kind, name) not in self.promises.recorded
        except PermanentError:
            event("a circle was refused")
            assert may

    @rule(held=held)
    def release(self, held: Held) -> None:
        mine = [i for i in held.lease.items if self.holds(held.lease, i)]
        assert held.lease.release() == len(mine)

    @rule(held=consumes(held))
    def crash(self, held: Held) -> None:
        """A run ends without a word."""

    def act(self, what: Callable[[], object], *, may: bool) -> None:
        """Only the holder has an effect; all others are told."""
        try:
            ended = what()
        except LeaseLostError:
            event("a lost lease was told")
            assert not may
            return
        assert may
        if isinstance(ended, Ended):
            assert ended.item.state in FINAL_STATES

    # The reconcile.

    @precondition(some_open)
    @rule(
        number=ANY,
        how=st.sampled_from(["free_silent", "free_unbound", "cancel"]),
        falls_silent=st.booleans(),
    )
    def reconcile(self, number: int, how: str, *, falls_silent: bool) -> None:
        batch = self.any_open(number)
        if falls_silent:
            self.conn.execute(
                "UPDATE batch SET heartbeat_at = heartbeat_at - %s::interval"
                " WHERE id = %s",
                [LONG_AGO, batch.id],
            )
        silent = bool(self.batches()[batch.id]["silent"])
        settled, may = getattr(self, f"_{how}")(batch, silent=silent)
        event(f"{how}: {settled} bound: {batch.is_bound}")
        assert settled == may

    def _free_silent(
        self, batch: OpenBatch, *, silent: bool
    ) -> tuple[bool, bool]:
        freed = self.inbox.free_silent(batch, "silent", silence=SILENCE)
        return freed, batch.is_bound and silent

    def _free_unbound(
        self, batch: OpenBatch, *, silent: bool
    ) -> tuple[bool, bool]:
        before = self.items()
        freed = self.inbox.free_unbound(batch, "never began")
        for id_, row in self.items().items():
            assert row["failures"] == before[id_]["failures"]
        return freed, not batch.is_bound

    def _cancel(self, batch: OpenBatch, *, silent: bool) -> tuple[bool, bool]:
        settled = self.inbox.cancel(batch, {"by": "me"}, silence=SILENCE)
        return settled, silent or not batch.is_bound

    # The peer's slots.

    @rule(wanted=st.integers(min_value=0, max_value=4))
    def take_slots(self, wanted: int) -> None:
        with self.inbox.transaction() as conn:
            taken = slots.take_slots(
                conn,
                peer="peer",
                holder="a run",
                wanted=wanted,
                bound=BOUND,
                life=LONG_AGO,
            )
        assert len(taken) == min(wanted, BOUND - len(self.slots))
        assert self.slots.isdisjoint(taken)
        self.slots |= set(taken)

    @rule(number=ANY, passes=RARELY)
    def free_slots(self, number: int, *, passes: bool) -> None:
        """A task's end is seen, also twice; or the time of all has passed."""
        if passes:
            self.conn.execute(
                "UPDATE peer_slot SET expires_at = expires_at - %s",
                [2 * LONG_AGO],
            )
            self.slots.clear()
            return
        with self.inbox.transaction() as conn:
            slots.free_slots(conn, [number % 10])
        self.slots.discard(number % 10)

    # People.

    @precondition(lambda self: self.promises.recorded)
    @rule(number=ANY, drops=RARELY)
    def by_hand(self, number: int, *, drops: bool) -> None:
        row = self.any_item(number)
        refused = {"dispatched", "running"} | (set() if drops else {"done"})
        may = row["dropped_at"] is None and row["state"] not in refused
        before = self.audited()
        with self.inbox.transaction() as conn:
            if drops:
                kinds = self.inbox.kinds
                done = admin.drop_item(
                    conn, kinds, row["id"], who="me", why="x"
                )
            else:
                done = admin.retry_item(conn, row["id"], who="me", why="x")
        assert done == may
        assert self.audited() == before + done, "who did it, and why"
        if done:
            self.promises.ends.pop(row["id"], None)

    def audited(self) -> int:
        return int(self.rows("SELECT count(*) AS n FROM audit")[0]["n"])

    @rule(is_time=RARELY)
    def prune(self, *, is_time: bool) -> None:
        if not is_time:
            return
        for id_, row in self.items().items():
            if row["state"] == "done":
                self.promises.ends.pop(id_, None)
        with self.inbox.transaction() as conn:
            for kind in (JOB, PARCEL):
                admin.prune_done(conn, kind, age=timedelta())
                admin.prune_batches(conn, kind, age=LONG_AGO)

    def any_item(self, number: int) -> Row:
        rows = sorted(self.items().values(), key=lambda row: row["id"])
        return rows[number % len(rows)]

    @invariant()
    def every_promise_holds(self) -> None:
        self.promises.check(
            self.items(),
            self.batches(),
            self.rows("SELECT * FROM work_item WHERE kind = 'word'"),
        )


def test_every_promise_holds_whatever_happens_in_whatever_order(
    inbox: Inbox,
) -> None:
    """Rules 1, 2, 3, 4, 6, 7, 8, 10 and 11, in any order of events."""
    assert {kind.name for kind in KINDS} == {JOB, PARCEL, WORD}
    with psycopg.connect(
        inbox.where.conninfo, autocommit=True, row_factory=dict_row
    ) as conn:
        conn.execute(SEE_CHANGES)
        try:
            Life.inbox, Life.conn = inbox, conn
            run_state_machine_as_test(Life, settings=MACHINE)
            rows = conn.execute("SELECT DISTINCT * FROM seen").fetchall()
        finally:
            conn.execute("DROP TABLE seen; DROP FUNCTION see CASCADE")
    seen = {(row["was"], row["is_now"]) for row in rows}
    assert seen <= all_documented(), "docs/architecture.md lacks a change"
    assert len(seen) > len(State), "the world was asleep"
