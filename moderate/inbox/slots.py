"""A peer's bound on tasks in flight, counted over all flows and runs.

A slot is freed when the task's end is seen, by whomever, or when its time has
passed: a worker that was killed can't keep a slot for ever.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from moderate.inbox.database import Conn, fetch, fetch_one, run


def take_slots(
    conn: Conn,
    *,
    peer: str,
    holder: str,
    wanted: int,
    bound: int,
    life: timedelta,
    share: int | None = None,
) -> Sequence[int]:
    """Take up to ``wanted`` of a peer's free slots.

    Args:
        conn: A transaction; others wait for its end.
        peer: Name of the peer.
        holder: Who takes them, for people to read.
        wanted: How many are wanted at the most.
        bound: How many the peer has in all.
        life: How long a task may take before its slot is free again.
        share: How many this holder may hold, so that nobody is left without;
            all of them by default.

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
        share=bound if share is None else share,
        life=life,
    )
    return [int(row["id"]) for row in rows]


def share_of(conn: Conn, kinds: Sequence[str], bound: int) -> int:
    """Return a run's part of a peer's slots; at least one.

    Args:
        conn: A transaction.
        kinds: The kinds of items whose runs share the peer.
        bound: How many slots the peer has in all.
    """
    row = fetch_one(conn, "running_batches", kinds=list(kinds))
    runs = int(row["batches"]) if row else 0
    return max(1, bound // max(1, runs))


def note_tasks(conn: Conn, tasks: Mapping[int, int]) -> None:
    """Say for which task each slot is held.

    Args:
        conn: A transaction.
        tasks: The peer's number of the task, by slot.
    """
    run(
        conn,
        "note_slot_tasks",
        ids=list(tasks),
        task_ids=list(tasks.values()),
    )


def long_held(
    conn: Conn, peer: str, age: timedelta, limit: int
) -> Mapping[int, int]:
    """Return the tasks of slots that are held for longer than ``age``.

    Whose holder was killed does not show: that a task has ended does.
    """
    rows = fetch(conn, "long_held_slots", peer=peer, age=age, limit=limit)
    return {int(row["id"]): int(row["task_id"]) for row in rows}


def keep_slots(conn: Conn, ids: Sequence[int], life: timedelta) -> None:
    """Hold slots for ``life`` from now: their tasks may be at work still."""
    run(conn, "keep_slots", ids=list(ids), life=life)


def free_slots(conn: Conn, ids: Sequence[int]) -> None:
    """Give slots back; harmless for those that have passed."""
    run(conn, "free_slots", ids=list(ids))
