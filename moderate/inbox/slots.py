"""A peer's bound on tasks in flight, counted over all flows and runs.

A slot is freed when the task's end is seen, or when its time has passed: a
worker that was killed can't keep a slot for ever.
"""

from collections.abc import Sequence
from datetime import timedelta

from moderate.inbox.database import Conn, fetch, run


def take_slots(
    conn: Conn,
    *,
    peer: str,
    holder: str,
    wanted: int,
    bound: int,
    life: timedelta,
) -> Sequence[int]:
    """Take up to ``wanted`` of a peer's free slots.

    Args:
        conn: A transaction; others wait for its end.
        peer: Name of the peer.
        holder: Who takes them, for people to read.
        wanted: How many are wanted at the most.
        bound: How many the peer has in all.
        life: How long a task may take before its slot is free again.

    Returns:
        Ids to give back; fewer than wanted, or none, when others hold them.
    """
    run(conn, "lock_slots", peer=peer)
    run(conn, "free_expired_slots", peer=peer)
    rows = fetch(
        conn,
        "take_slots",
        peer=peer,
        holder=holder,
        wanted=wanted,
        bound=bound,
        life=life,
    )
    return [int(row["id"]) for row in rows]


def free_slots(conn: Conn, ids: Sequence[int]) -> None:
    """Give slots back; harmless for those that have passed."""
    run(conn, "free_slots", ids=list(ids))
