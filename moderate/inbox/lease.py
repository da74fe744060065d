"""The inbox from a run's side: a batch that is bound to this run.

Every transition carries the guard of the fence: batch, run and state. When
it touches 0 rows the batch is no longer this run's, and the run must stop.

The batch is locked before its items, here and by the reconcile: the two can't
wait for each other in a circle, and threads of one run that end its last
items see each other, so that one of them closes the batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from psycopg.types.json import Jsonb

from moderate.errors import ModerateError, PermanentError
from moderate.inbox.database import (
    Address,
    Conn,
    fetch,
    fetch_one,
    run,
    transaction,
)
from moderate.inbox.model import (
    FINAL_STATES,
    Dead,
    Json,
    Kind,
    NewItem,
    Retry,
    State,
    WorkItem,
)
from moderate.inbox.settling import store_end
from moderate.inbox.storable import clean, clean_text


class LeaseLostError(ModerateError):
    """The batch was taken from this run; it must end without effects."""


@dataclass(frozen=True)
class Ended:
    """An item has ended.

    Attributes:
        item: The item as it is now.
        word: Its final word, stored and still to be told.
    """

    item: WorkItem
    word: NewItem | None


@dataclass(frozen=True)
class Lease:
    """A batch bound to a run, with the items as they were when it bound."""

    where: Address
    kinds: Mapping[str, Kind]
    batch_id: int
    run_id: str
    items: tuple[WorkItem, ...]

    @property
    def kind(self) -> Kind:
        """The kind of the items."""
        return self.kinds[self.items[0].kind]

    def beat(self) -> None:
        """Say that this run is alive.

        Raises:
            LeaseLostError: The batch was taken from it.
        """
        with transaction(self.where) as conn:
            if not run(conn, "beat", **self._guard()):
                raise self._lost()

    def begin(self, items: Sequence[WorkItem]) -> None:
        """Say that the items' own work begins: the attempt counts now.

        Raises:
            LeaseLostError: One of them is no longer this run's.
        """
        ids = [item.id for item in items]
        with self._holding() as conn:
            begun = run(conn, "begin_items", ids=ids, **self._guard())
            if begun != len(ids):
                raise self._lost()

    def done(self, item: WorkItem, outcome: Json) -> Ended:
        """End an item well.

        Raises:
            LeaseLostError: It is no longer this run's.
        """
        return self._end(item, State.DONE, outcome)

    def cancelled(self, item: WorkItem, outcome: Json) -> Ended:
        """End an item because a person cancelled it.

        Raises:
            LeaseLostError: It is no longer this run's.
        """
        return self._end(item, State.CANCELLED, outcome)

    def failed(
        self,
        item: WorkItem,
        error: Exception,
        *,
        reason: str,
        outcome: Json | None = None,
    ) -> Ended | Retry:
        """Record a failed attempt; the error's kind decides what follows.

        Args:
            item: The item.
            error: What was raised.
            reason: What people read, without secrets.
            outcome: Stored if the item ends here.

        Returns:
            The end, or the decision to try again.

        Raises:
            LeaseLostError: It is no longer this run's.
        """
        decision = self.kind.decide(error, item.failures)
        if isinstance(decision, Dead):
            return self._end(item, State.DEAD, outcome, error=reason)
        with self._holding() as conn:
            row = fetch_one(
                conn,
                "postpone_item",
                id=item.id,
                delay=decision.delay,
                error=clean_text(reason),
                **self._guard(),
            )
            if row is None:
                raise self._lost()
            self._close_if_empty(conn)
        return decision

    def wait_for(
        self, item: WorkItem, kind: str, key: str, reason: str
    ) -> Ended | None:
        """Let an item wait until another one is done.

        Returns:
            The item's end, if the other one is dead or cancelled; ``None``
            if it waits (or is due at once, as the other one is done).

        Raises:
            LookupError: There is no such item.
            PermanentError: That one waits for this one in turn, so that
                neither would ever be due.
            LeaseLostError: The item is no longer this run's.
        """
        with self._holding() as conn:
            target = fetch_one(conn, "lock_target", kind=kind, key=key)
            if target is None:
                msg = f"there is no item {kind} {key} to wait for"
                raise LookupError(msg)
            state = State(target["state"])
            if state in FINAL_STATES - {State.DONE}:
                why = (
                    f"{reason}: {kind} {key} is {state}"
                    f" ({target['last_error'] or 'no reason recorded'})"
                )
                return self._end_in(conn, item, State.DEAD, None, why)
            awaited = None if state == State.DONE else int(target["id"])
            self._park(conn, item, awaited, reason)
        return None

    def _park(
        self, conn: Conn, item: WorkItem, target: int | None, reason: str
    ) -> None:
        row = fetch_one(
            conn,
            "park_item",
            id=item.id,
            target=target,
            reason=clean_text(reason),
            **self._guard(),
        )
        if row is None:
            raise self._lost()
        if run(conn, "waits_for_itself", id=item.id):
            msg = f"{item.kind} {item.key} would wait for itself in a circle"
            raise PermanentError(msg)
        self._close_if_empty(conn)

    def release(
        self,
        items: Sequence[WorkItem] | None = None,
        delay: timedelta = timedelta(),
        reason: str | None = None,
    ) -> int:
        """Give items back without counting an attempt; all by default.

        Args:
            items: Which.
            delay: Until they are due again.
            reason: What people read, without secrets, where they wait for
                something that somebody may have to mend.

        Returns:
            How many were still this run's.
        """
        ids = None if items is None else [item.id for item in items]
        with transaction(self.where) as conn:
            if not run(conn, "hold_batch", **self._guard()):
                return 0
            rows = fetch(
                conn,
                "release_items",
                ids=ids,
                delay=delay,
                reason=clean(reason),
                **self._guard(),
            )
            self._close_if_empty(conn)
        return len(rows)

    def _end(
        self,
        item: WorkItem,
        state: State,
        outcome: Json | None,
        *,
        error: str | None = None,
    ) -> Ended:
        with self._holding() as conn:
            return self._end_in(conn, item, state, outcome, error)

    def _end_in(
        self,
        conn: Conn,
        item: WorkItem,
        state: State,
        outcome: Json | None,
        error: str | None,
    ) -> Ended:
        row = fetch_one(
            conn,
            "finish_item",
            id=item.id,
            state=state,
            outcome=None if outcome is None else Jsonb(clean(outcome)),
            error=clean(error),
            failed=state == State.DEAD,
            **self._guard(),
        )
        if row is None:
            raise self._lost()
        ended = WorkItem(**row)
        word = store_end(conn, self.kinds, ended)
        self._close_if_empty(conn)
        return Ended(ended, word)

    @contextmanager
    def _holding(self) -> Iterator[Conn]:
        """Open a transaction during which nobody takes the batch.

        Raises:
            LeaseLostError: It was taken from this run before.
        """
        with transaction(self.where) as conn:
            if not run(conn, "hold_batch", **self._guard()):
                raise self._lost()
            yield conn

    def _close_if_empty(self, conn: Conn) -> None:
        run(conn, "close_empty_batch", batch_id=self.batch_id)

    def _guard(self) -> dict[str, int | str]:
        return {"batch_id": self.batch_id, "run_id": self.run_id}

    def _lost(self) -> LeaseLostError:
        return LeaseLostError(
            f"batch {self.batch_id} is no longer held by run {self.run_id}"
        )
