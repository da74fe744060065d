"""Runs on offer to warm workers: the fast path's part of our Postgres.

A run is *waiting*, then *claimed* by one worker, then *over*; it is offered
once in its life, so that whoever submits it twice starts it once. A worker
gives signs of life; once its row is gone it must end its runs, and whoever
finds runs without a worker tells Dagster.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from moderate.inbox.database import (
    UNAVAILABLE,
    Address,
    Conn,
    InboxUnavailableError,
    bounded,
    fetch,
    fetch_one,
    first_line,
    run,
    transaction,
)

RUN_OFFERED = "moderate_warm_run"
CANCEL_ASKED = "moderate_warm_cancel"
DUE = "moderate_due"
"""Channels of NOTIFY. A word may be lost with the connection: whoever
listens looks by itself after each reconnect, and now and then."""

LOST_AT_ONCE = 4
"""Lost runs that are settled in one transaction: few, as a worker that does
so must not be silent for long itself."""

KEPT = timedelta(days=7)
"""How long a run that is over is remembered here."""


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker says of itself."""

    id: UUID
    host: str
    pid: int
    image: str | None
    slots: int


@dataclass(frozen=True)
class WarmRun:
    """How a run stands.

    Attributes:
        state: ``waiting``, ``claimed`` or ``over``.
        silence: Since its worker's last sign of life; ``None`` without one.
    """

    state: str
    silence: timedelta | None


class WarmRuns:
    """The table of runs on offer, in the inbox's database at ``where``.

    Every method raises ``InboxUnavailableError`` when that can't be reached.
    """

    def __init__(self, where: Address) -> None:
        self.where = where

    def offer(
        self, run_id: str, *, image: str | None = None, priority: int = 0
    ) -> bool:
        """Offer a run; ``False``: it was offered before, and is known."""
        with transaction(self.where) as conn:
            offered = run(
                conn,
                "offer_warm_run",
                run_id=run_id,
                image=image,
                priority=priority,
            )
        return bool(offered)

    def cancel(self, run_id: str) -> str | None:
        """Cancel a run.

        Returns:
            ``over``: it had not begun and won't; ``claimed``: its worker was
            told; ``None``: nothing of it is left.
        """
        with transaction(self.where) as conn:
            row = fetch_one(conn, "cancel_warm_run", run_id=run_id)
        return str(row["state"]) if row else None

    def look(self, run_id: str) -> WarmRun | None:
        """Say how a run stands; ``None``: it was never offered here."""
        with transaction(self.where) as conn:
            row = fetch_one(conn, "look_at_warm_run", run_id=run_id)
        return WarmRun(**row) if row else None

    def join(self, worker: WorkerFacts) -> None:
        """Say that a worker is there."""
        with transaction(self.where) as conn:
            run(
                conn,
                "join_warm_workers",
                worker=worker.id,
                host=worker.host,
                pid=worker.pid,
                image=worker.image,
                slots=worker.slots,
            )

    def beat(self, worker: UUID) -> bool:
        """Give a sign of life; ``False``: the worker was given up."""
        with transaction(self.where) as conn:
            return bool(run(conn, "beat_warm_worker", worker=worker))

    def leave(self, worker: UUID) -> None:
        """Say that a worker has ended and left nothing behind."""
        with transaction(self.where) as conn:
            run(conn, "leave_warm_workers", worker=worker)

    def claim(
        self, worker: UUID, *, image: str | None, limit: int
    ) -> Sequence[str]:
        """Claim runs that wait; their ids."""
        with transaction(self.where) as conn:
            rows = fetch(
                conn,
                "claim_warm_runs",
                worker=worker,
                image=image,
                limit=limit,
            )
        return [row["run_id"] for row in rows]

    def note_pid(self, worker: UUID, run_id: str, pid: int) -> None:
        """Note which process a run has, for people to see."""
        with transaction(self.where) as conn:
            run(conn, "note_warm_pid", run_id=run_id, worker=worker, pid=pid)

    def held(self, worker: UUID) -> Mapping[str, bool]:
        """Say what a worker has: of each run, whether it was cancelled."""
        with transaction(self.where) as conn:
            rows = fetch(conn, "held_warm_runs", worker=worker)
        return {row["run_id"]: row["is_cancelled"] for row in rows}

    def end(self, worker: UUID, run_id: str, ending: str) -> None:
        """Say that a run's process is gone."""
        with transaction(self.where) as conn:
            run(
                conn,
                "end_warm_run",
                run_id=run_id,
                worker=worker,
                ending=ending,
            )

    @contextmanager
    def lost(self, silence: timedelta) -> Iterator[Sequence[str]]:
        """Give up silent workers; yield runs that have none, to settle them.

        They are over at the end of the block; an error in it leaves them to
        the next one who looks. Nobody else gets them meanwhile.
        """
        with transaction(self.where) as conn:
            run(conn, "drop_silent_workers", silence=silence)
        with transaction(self.where) as conn:
            rows = fetch(conn, "lock_lost_warm_runs", limit=LOST_AT_ONCE)
            ids = [row["run_id"] for row in rows]
            yield ids
            for run_id in ids:
                run(
                    conn,
                    "end_warm_run",
                    run_id=run_id,
                    worker=None,
                    ending="lost",
                )

    @contextmanager
    def submitting(self, run_key: str) -> Iterator[bool]:
        """Hold the right to submit a batch's run; ``False``: another has it.

        Without it two could report the start of one run, the second of them
        when it is already at work.
        """
        with transaction(self.where) as conn:
            row = fetch_one(conn, "lock_submission", run_key=run_key)
            yield bool(row and row["got"])

    def prune(self) -> int:
        """Forget runs that are long over; return how many."""
        with transaction(self.where) as conn:
            return run(conn, "prune_warm_runs", age=KEPT)

    def next_due(self, kinds: Sequence[str]) -> timedelta | None:
        """Say how long it is until an item is due that isn't yet."""
        with transaction(self.where) as conn:
            row = fetch_one(conn, "next_due", kinds=list(kinds))
        return row["wait"] if row else None


class Listener:
    """Hears what is said on channels, over a connection of its own."""

    def __init__(self, where: Address, *channels: str) -> None:
        self._where = where
        self._channels = channels
        self._conn: Conn | None = None

    def connect(self) -> None:
        """Begin to listen; look for yourself afterwards.

        Raises:
            InboxUnavailableError: The database can't be reached.
        """
        self.close()
        try:
            conn = psycopg.connect(
                bounded(self._where.conninfo),
                autocommit=True,
                row_factory=dict_row,
            )
            self._conn = conn
            for channel in self._channels:
                conn.execute(SQL("LISTEN {}").format(Identifier(channel)))
        except UNAVAILABLE as error:
            self.close()
            raise _unavailable(error) from error

    @property
    def is_connected(self) -> bool:
        """Whether anything can be heard."""
        return self._conn is not None and not self._conn.closed

    def fileno(self) -> int:
        """Return what becomes readable when there is something to hear."""
        if self._conn is None:
            msg = "the inbox's database is not listened to"
            raise InboxUnavailableError(msg)
        return self._conn.fileno()

    def heard(self) -> Sequence[tuple[str, str]]:
        """Return channels and texts of what was said, without waiting.

        Raises:
            InboxUnavailableError: The connection was cut.
        """
        if self._conn is None:
            return []
        try:
            said = [
                (each.channel, each.payload)
                for each in self._conn.notifies(timeout=0)
            ]
        except UNAVAILABLE as error:
            self.close()
            raise _unavailable(error) from error
        return said

    def close(self) -> None:
        """Listen no longer."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None


def _unavailable(error: Exception) -> InboxUnavailableError:
    msg = f"the inbox's database failed: {first_line(error)}"
    return InboxUnavailableError(msg)
