"""The one way by which items come to be rows."""

from collections.abc import Iterator, Sequence

from psycopg.types.json import Jsonb

from moderate.inbox.database import Conn, Row, fetch
from moderate.inbox.model import NewItem
from moderate.inbox.storable import storable

RECORD_CHUNK = 2_000
"""Rows that one insert statement carries at the most."""


def insert_items(conn: Conn, items: Sequence[NewItem]) -> Sequence[Row]:
    """Insert those items that are not known yet.

    Of several with the same kind and key the first one counts. All are
    inserted in the order of kind and key, over all chunks: two transactions
    with items in common then can't wait for each other in a circle.

    Returns:
        Id, kind, key and state of those that were new.
    """
    first: dict[tuple[str, str], NewItem] = {}
    for item in map(storable, items):
        first.setdefault((item.kind, item.key), item)
    ordered = [first[identity] for identity in sorted(first)]
    return [row for chunk in _chunks(ordered) for row in _insert(conn, chunk)]


def _chunks(items: Sequence[NewItem]) -> Iterator[Sequence[NewItem]]:
    for start in range(0, len(items), RECORD_CHUNK):
        yield items[start : start + RECORD_CHUNK]


def _insert(conn: Conn, chunk: Sequence[NewItem]) -> Sequence[Row]:
    documents = Jsonb([vars(item) for item in chunk])
    return fetch(conn, "record_items", items=documents)
