"""What the reference implementation has uploaded, as far as it knew.

It remembered a name of each file and the commit of the whole repository; what
that says of a file today, the dataset flow finds out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moderate.inbox.database import (
    Address,
    Conn,
    fetch,
    fetch_one,
    transaction,
)


@dataclass(frozen=True)
class ReferenceUpload:
    """The last upload of a file by the reference, always as Parquet.

    Attributes:
        dataset: Name of our dataset.
        name: The reference's name of the file: a slug of its path.
        commit_id: The commit that the file was taken from.
    """

    dataset: str
    name: str
    commit_id: str


def remember(
    conn: Conn, uploads: Iterable[ReferenceUpload]
) -> Sequence[ReferenceUpload]:
    """Store uploads; return those that were not known."""
    return [
        each
        for each in uploads
        if fetch_one(
            conn,
            "remember_reference_upload",
            dataset=each.dataset,
            name=each.name,
            commit_id=each.commit_id,
        )
    ]


def uploads_of(where: Address, dataset: str) -> Sequence[ReferenceUpload]:
    """Return what the reference has uploaded of a dataset.

    Raises:
        InboxUnavailableError: The database can't be reached.
    """
    with transaction(where) as conn:
        rows = fetch(conn, "reference_uploads", dataset=dataset)
    return [ReferenceUpload(**row) for row in rows]
