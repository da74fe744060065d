"""A run's slots at a peer: taken before a task is asked for, given back after.

See ``moderate.inbox.slots`` for the bound over all runs.
"""

import logging
import time
from datetime import timedelta

from moderate.flows.work import keep_trying
from moderate.inbox.database import InboxUnavailableError, transaction
from moderate.inbox.lease import Lease
from moderate.inbox.slots import (
    free_slots,
    keep_slots,
    share_of,
    take_slots,
)

PAUSE = 0.25
"""Seconds between two questions for a free slot."""

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
        self.next_try = 0.0
        """When it makes sense to ask again (``time.monotonic``)."""

    def give(self, *slots: int) -> None:
        """Give slots back with the next exchange."""
        self._over += slots

    def exchange(self, wanted: int = 0) -> list[int]:
        """Give back what is over, and take others; maybe fewer, or none."""
        if not (wanted or self._over):
            return []
        taken: list[int] = []
        try:
            with transaction(self._lease.where) as conn:
                free_slots(conn, self._over)
                if wanted:
                    taken += take_slots(
                        conn,
                        peer=self._peer,
                        holder=f"batch {self._lease.batch_id}",
                        wanted=wanted,
                        bound=self._bound,
                        share=share_of(conn, self._kinds, self._bound),
                        life=self._life,
                    )
        except InboxUnavailableError as error:
            _log.warning("no slots: %s", error)
            taken = []
        else:
            self._over = []
        if len(taken) < wanted:
            self.next_try = time.monotonic() + PAUSE
        return taken

    def keep(self, slot: int, life: timedelta) -> None:
        """Hold a slot for longer: its task may be at work still."""

        def hold() -> None:
            with transaction(self._lease.where) as conn:
                keep_slots(conn, [slot], life)

        keep_trying(hold)()
