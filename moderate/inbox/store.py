"""The inbox from the sensors' side: record, dispatch, reconcile."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

from psycopg.types.json import Jsonb

from moderate.inbox.database import (
    Address,
    Conn,
    Row,
    fetch,
    fetch_one,
    run,
    transaction,
)
from moderate.inbox.lease import Lease
from moderate.inbox.migrate import require_current_schema
from moderate.inbox.model import (
    Dead,
    Dispatch,
    Json,
    Kind,
    NewItem,
    OpenBatch,
    State,
    WorkItem,
)
from moderate.inbox.recording import insert_items
from moderate.inbox.settling import store_end
from moderate.inbox.storable import clean, storable_key

LOOK_LIMIT = 200
"""Silent batches that one reconcile looks at, at the most."""


class Inbox:
    """Work items of the given kinds, in the database at ``where``."""

    def __init__(self, where: Address, kinds: Iterable[Kind]) -> None:
        self.where = where
        self.kinds: Mapping[str, Kind] = {kind.name: kind for kind in kinds}

    @contextmanager
    def transaction(self) -> Iterator[Conn]:
        """Open a transaction on a schema that is known to be current.

        Raises:
            StaleSchemaError: The schema has to be migrated first.
            InboxUnavailableError: The database can't be reached.
        """
        require_current_schema(self.where)
        with transaction(self.where) as conn:
            yield conn

    def record(
        self, conn: Conn, items: Sequence[NewItem]
    ) -> set[tuple[str, str]]:
        """Store events as items; one seen before is the same row.

        An item that is born dead gets its final word here. One that Postgres
        can't hold (see ``storable``) is stored as born dead, so that it
        takes no other event along.

        Returns:
            Kind and key of those that were new, as they are stored.
        """
        rows = insert_items(conn, items)
        dead = [row["id"] for row in rows if row["state"] == State.DEAD]
        for row in fetch(conn, "get_items", ids=dead) if dead else ():
            store_end(conn, self.kinds, WorkItem(**row))
        return {(row["kind"], row["key"]) for row in rows}

    def known_keys(
        self, conn: Conn, kind: str, keys: Sequence[str]
    ) -> set[str]:
        """Say which keys are items already, tombstones included."""
        return set(self.states_of_keys(conn, kind, keys))

    def states_of_keys(
        self, conn: Conn, kind: str, keys: Sequence[str]
    ) -> dict[str, State]:
        """Return the state of each key that is an item already."""
        stored = {storable_key(key): key for key in keys}
        rows = fetch(conn, "states_of_keys", kind=kind, keys=list(stored))
        return {stored[row["key"]]: State(row["state"]) for row in rows}

    def dispatch(self, kinds: Iterable[str]) -> int:
        """Assign due items to batches, never more than there are slots.

        Returns:
            How many items were dispatched.
        """
        return sum(self._dispatch_kind(self.kinds[name]) for name in kinds)

    def _dispatch_kind(self, kind: Kind) -> int:
        with self.transaction() as conn:
            run(conn, "lock_dispatch", kind=kind.name)
            return run(
                conn,
                "dispatch_due",
                kind=kind.name,
                slots=kind.slots,
                batch_size=kind.batch_size,
            )

    def unbound(
        self, kinds: Iterable[str], *, age: timedelta = timedelta()
    ) -> Sequence[Dispatch]:
        """Return the batches of at least an age whose run has not begun."""
        with self.transaction() as conn:
            rows = fetch(conn, "unbound_batches", kinds=list(kinds), age=age)
        return [
            Dispatch(**row, flow=self.kinds[row["kind"]].flow) for row in rows
        ]

    def bind(self, batch_id: int, run_id: str) -> Lease | None:
        """Bind a batch to a run: its first act, and the fence.

        Returns:
            The lease, or ``None`` if the batch is another's or over: the run
            ends without effects.
        """
        with self.transaction() as conn:
            rows = fetch(conn, "bind_batch", batch_id=batch_id, run_id=run_id)
        return self._lease(rows, batch_id, run_id)

    def take_now(self, kind: str, key: str, run_id: str) -> Lease | None:
        """Bind one pending item to a run that is already at work.

        Returns:
            The lease, or ``None`` if somebody else has the item.
        """
        with self.transaction() as conn:
            rows = fetch(conn, "take_now", kind=kind, key=key, run_id=run_id)
        return self._lease(rows, rows[0]["batch_id"], run_id) if rows else None

    def _lease(
        self, rows: Sequence[Row], batch_id: int, run_id: str
    ) -> Lease | None:
        if not rows:
            return None
        items = sorted((WorkItem(**r) for r in rows), key=lambda i: i.id)
        return Lease(self.where, self.kinds, batch_id, run_id, tuple(items))

    def silent(
        self,
        kinds: Iterable[str],
        *,
        silence: timedelta,
        grace: timedelta,
    ) -> Sequence[OpenBatch]:
        """Return batches without a heartbeat, or without a run, too long."""
        with self.transaction() as conn:
            rows = fetch(
                conn,
                "silent_batches",
                kinds=list(kinds),
                silence=silence,
                grace=grace,
                limit=LOOK_LIMIT,
            )
        return [OpenBatch(**row) for row in rows]

    def open_batches(self, kinds: Iterable[str]) -> Sequence[OpenBatch]:
        """Return all batches that hold items."""
        with self.transaction() as conn:
            rows = fetch(conn, "open_batches", kinds=list(kinds))
        return [OpenBatch(**row) for row in rows]

    def unemployed(
        self, runs: Mapping[str, int], *, silence: timedelta
    ) -> set[str]:
        """Say which runs hold no batch, and will not bind one any more.

        Args:
            runs: Run ids, each with the batch that it was asked for.
            silence: How long a run may take to end once its batch is over.
        """
        with self.transaction() as conn:
            rows = fetch(
                conn,
                "unemployed_runs",
                run_ids=list(runs),
                batch_ids=list(runs.values()),
                silence=silence,
            )
        return {row["run_id"] for row in rows}

    def is_start_overdue(
        self, batch: OpenBatch, *, silence: timedelta
    ) -> bool:
        """Say whether a started run has left its batch unbound too long.

        The time counts from the first call.
        """
        with self.transaction() as conn:
            row = fetch_one(
                conn, "note_started", batch_id=batch.id, silence=silence
            )
        return bool(row and row["overdue"])

    def free_unbound(self, batch: OpenBatch, why: str) -> bool:
        """Take back a batch that no run has bound; no attempt is used up."""
        with self.transaction() as conn:
            closed = run(
                conn, "close_unbound_batch", batch_id=batch.id, why=why
            )
            if closed:
                run(conn, "free_unbegun_items", batch_id=batch.id)
        return bool(closed)

    def free_silent(
        self, batch: OpenBatch, why: str, *, silence: timedelta
    ) -> bool:
        """Take the lease from a run that misses its heartbeat.

        Items that were not begun return uncounted; those begun count a
        failure and travel alone next time.
        """
        with self.transaction() as conn:
            closed = run(
                conn,
                "close_silent_batch",
                batch_id=batch.id,
                silence=silence,
                why=why,
            )
            if closed:
                run(conn, "free_unbegun_items", batch_id=batch.id)
                for item in self._held(conn, batch):
                    self._free_begun(conn, item, why)
        return bool(closed)

    def _free_begun(self, conn: Conn, item: WorkItem, why: str) -> None:
        decision = self.kinds[item.kind].after_failure(item.failures)
        dead = isinstance(decision, Dead)
        row = fetch_one(
            conn,
            "free_begun_item",
            id=item.id,
            batch_id=item.batch_id,
            state=State.DEAD if dead else State.PENDING,
            delay=(
                timedelta() if isinstance(decision, Dead) else decision.delay
            ),
            error=why,
        )
        if dead and row:
            store_end(conn, self.kinds, WorkItem(**row))

    def cancel(
        self, batch: OpenBatch, outcome: Json, *, silence: timedelta
    ) -> bool:
        """Settle a batch whose run a person cancelled before it could.

        Items of a kind that is not cancellable are released instead.
        """
        if not self.kinds[batch.kind].cancellable:
            why = "the run was cancelled"
            if batch.is_bound:
                return self.free_silent(batch, why, silence=silence)
            return self.free_unbound(batch, why)
        with self.transaction() as conn:
            closed = self._close(conn, batch, "cancelled", silence)
            if closed:
                for item in self._held(conn, batch):
                    self._cancel_held(conn, item, outcome)
        return bool(closed)

    @staticmethod
    def _close(
        conn: Conn, batch: OpenBatch, why: str, silence: timedelta
    ) -> int:
        if batch.is_bound:
            return run(
                conn,
                "close_silent_batch",
                batch_id=batch.id,
                silence=silence,
                why=why,
            )
        return run(conn, "close_unbound_batch", batch_id=batch.id, why=why)

    @staticmethod
    def _held(conn: Conn, batch: OpenBatch) -> Sequence[WorkItem]:
        rows = fetch(conn, "items_of_batch", batch_id=batch.id)
        return [WorkItem(**row) for row in rows]

    def _cancel_held(self, conn: Conn, item: WorkItem, outcome: Json) -> None:
        row = fetch_one(
            conn,
            "cancel_held_item",
            id=item.id,
            batch_id=item.batch_id,
            outcome=Jsonb(clean(outcome)),
        )
        if row:
            store_end(conn, self.kinds, WorkItem(**row))
