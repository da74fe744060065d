"""What belongs to the end of an item, in the same transaction as the end.

An item that has ended gets its final word as an item of its own, so that
only that item tells the outside world, always with the stored text. Items
that were waiting for it become due, or dead with it.
"""

from collections.abc import Mapping, Sequence

from moderate.inbox.database import Conn, fetch, run
from moderate.inbox.model import Kind, NewItem, State, WorkItem
from moderate.inbox.recording import insert_items


def store_end(
    conn: Conn, kinds: Mapping[str, Kind], item: WorkItem
) -> NewItem | None:
    """Store the final word of ``item``, and settle those waiting for it.

    Returns:
        The final word, if the kind has one.
    """
    kind = kinds.get(item.kind)
    word = kind.final_word(item) if kind and kind.final_word else None
    if word:
        insert_items(conn, [word])
    if item.state == State.DONE:
        run(conn, "wake_waiters", id=item.id)
    else:
        for waiter in _fail_waiters(conn, item):
            store_end(conn, kinds, waiter)
    return word


def _fail_waiters(conn: Conn, item: WorkItem) -> Sequence[WorkItem]:
    reason = (
        f"waited for {item.kind} {item.key}, which is {item.state}:"
        f" {item.last_error or 'no reason recorded'}"
    )
    rows = fetch(conn, "fail_waiters", id=item.id, reason=reason)
    return [WorkItem(**row) for row in rows]
