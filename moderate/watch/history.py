"""How often each peer failed of late: kept in a cursor of the inbox."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, Field

from moderate.inbox.cursors import Cursor, advance_cursor, read_cursor
from moderate.inbox.database import Conn
from moderate.watch.peers import Probe

CURSOR = "operations.peers"
PROBES_KEPT = 60
"""Per peer: an hour of them, at one a minute."""


class History(BaseModel):
    """The last probes of each peer, the latest last: did it answer."""

    peers: dict[str, list[bool]] = Field(default_factory=dict)

    def error_rates(self) -> Mapping[str, float]:
        """Return which share of its last probes each peer failed."""
        return {
            peer: known.count(False) / len(known)
            for peer, known in self.peers.items()
            if known
        }

    def with_probes(self, probes: Iterable[Probe]) -> "History":
        """Return the history with one more probe of each peer.

        A peer that isn't set up any more is forgotten.
        """
        return History(
            peers={
                probe.peer: [*self.peers.get(probe.peer, ()), probe.is_well][
                    -PROBES_KEPT:
                ]
                for probe in probes
            }
        )


def read_history(conn: Conn) -> Cursor[History]:
    """Return what is kept."""
    return read_cursor(conn, CURSOR, History())


def keep_probes(conn: Conn, probes: Iterable[Probe]) -> None:
    """Add probes to what is kept.

    Raises:
        CursorMovedError: Another tick was faster; its probes will do.
    """
    cursor = read_history(conn)
    advance_cursor(conn, cursor, cursor.value.with_probes(probes))
