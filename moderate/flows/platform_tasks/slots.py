"""A run's slots at a peer: taken before a task is asked for, given back after.

See ``moderate.inbox.slots`` for the bound over all runs.

A run that is killed can't give its slots back, but its tasks end all the
same. So each slot says which task it is held for, and a run that finds fewer
slots than it wants looks at the tasks of those that are held for long: one
that has ended frees its slot, within seconds. Only two kinds of slots have to
wait until their time has passed: of a task that never ends (the API died with
it), and of a run that was killed in the very moment between its request and
the note. Of both nobody can say that the API is not at work on a task; that
the run is dead proves nothing, so neither its heartbeat nor its process may
free them.
"""

import logging
import time
from collections.abc import Mapping
from datetime import timedelta

from moderate.flows.work import keep_trying
from moderate.inbox.database import Conn, InboxUnavailableError, transaction
from moderate.inbox.lease import Lease
from moderate.inbox.slots import (
    free_slots,
    keep_slots,
    long_held,
    note_tasks,
    share_of,
    take_slots,
)

PAUSE = 0.25
"""Seconds between two questions for a free slot."""

LONG = timedelta(seconds=5)
"""A slot that is held for so long may be a dead run's."""

LOOK_PAUSE = 3.0
"""Seconds between two looks at slots that are held for long."""

_log = logging.getLogger(__name__)


class Slots:
    """The slots of one run.

    Args:
        lease: The run's batch.
        peer: Whose slots.
        bound: How many the peer has in all.
        life: After how long a slot is free although nobody gave it back.
    """

    def __init__(
        self, lease: Lease, peer: str, bound: int, life: timedelta
    ) -> None:
        self._lease = lease
        self._peer = peer
        self._bound = bound
        self._life = life
        self._kinds = [
            kind.name for kind in lease.kinds.values() if kind.peer == peer
        ]
        self._over: list[int] = []
        self._noted: dict[int, int] = {}
        self._next_look = 0.0
        self.long_held: Mapping[int, int] = {}
        """Slots that others may have left behind, with their tasks."""
        self.next_try = 0.0
        """When it makes sense to ask again (``time.monotonic``)."""

    def give(self, *slots: int) -> None:
        """Give slots back with the next exchange."""
        self._over += slots

    def note(self, slot: int, task_id: int) -> None:
        """Say with the next exchange for which task a slot is held."""
        self._noted[slot] = task_id

    def exchange(self, wanted: int = 0) -> list[int]:
        """Give back what is over, and take others; maybe fewer, or none."""
        if not (wanted or self._over or self._noted):
            return []
        taken: list[int] = []
        try:
            with transaction(self._lease.where) as conn:
                note_tasks(conn, self._noted)
                free_slots(conn, self._over)
                if wanted:
                    taken += self._take(conn, wanted)
                if len(taken) < wanted:
                    self._look(conn)
        except InboxUnavailableError as error:
            _log.warning("no slots: %s", error)
            taken = []
        else:
            self._over = []
            self._noted = {}
        if len(taken) < wanted:
            self.next_try = time.monotonic() + PAUSE
        return taken

    def _take(self, conn: Conn, wanted: int) -> list[int]:
        return list(
            take_slots(
                conn,
                peer=self._peer,
                holder=f"batch {self._lease.batch_id}",
                wanted=wanted,
                bound=self._bound,
                share=share_of(conn, self._kinds, self._bound),
                life=self._life,
            )
        )

    def _look(self, conn: Conn) -> None:
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_PAUSE
            self.long_held = long_held(conn, self._peer, LONG, self._bound)

    def keep(self, slot: int, life: timedelta) -> None:
        """Hold a slot for longer: its task may be at work still."""

        def hold() -> None:
            with transaction(self._lease.where) as conn:
                keep_slots(conn, [slot], life)

        keep_trying(hold)()
