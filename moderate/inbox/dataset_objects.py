"""What the dataset flow remembers of its uploads.

Beside the inbox, in the same database: it holds no work items, for what is to
be done is seen from the repositories each time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from moderate.errors import TemporaryError
from moderate.inbox.database import (
    Address,
    connection_for_locks,
    fetch,
    fetch_one,
    run,
    transaction,
)
from moderate.inbox.migrate import require_current_schema

Columns = list[list[str]]
"""Name and type of each column, in order."""


@dataclass(frozen=True)
class DatasetObject:
    """The last upload of a file in one format.

    Attributes:
        dataset: The dataset's name.
        path: The file in its repository.
        format: ``parquet`` or ``csv``.
        made_of: What the conversion was made of; see the flow.
        content_hash: SHA-256 of the source.
        object_hash: SHA-256 of what was uploaded.
        commit_id: The commit it was taken from.
        asset_id: The platform's asset.
        object_id: The platform's object.
        size_bytes: Its bytes.
        row_count: Its rows.
        columns: Its columns.
    """

    dataset: str
    path: str
    format: str
    made_of: str
    content_hash: str
    object_hash: str
    commit_id: str
    asset_id: int
    object_id: int
    size_bytes: int
    row_count: int
    columns: Columns


class DatasetBusyError(TemporaryError):
    """Another run is publishing the dataset."""


class DatasetObjects:
    """The memory of uploads, in the database at ``where``."""

    def __init__(self, where: Address) -> None:
        self._where = where

    def known(self, dataset: str) -> Sequence[DatasetObject]:
        """Return what was uploaded of a dataset.

        Raises:
            StaleSchemaError: The schema has to be migrated first.
            InboxUnavailableError: The database can't be reached.
        """
        require_current_schema(self._where)
        with transaction(self._where) as conn:
            rows = fetch(conn, "known_dataset_objects", dataset=dataset)
        return [DatasetObject(**row) for row in rows]

    def remember(self, uploaded: DatasetObject) -> None:
        """Store an upload in place of the file's last one.

        Raises:
            InboxUnavailableError: The database can't be reached.
        """
        with transaction(self._where) as conn:
            run(
                conn,
                "remember_dataset_object",
                dataset=uploaded.dataset,
                path=uploaded.path,
                format=uploaded.format,
                made_of=uploaded.made_of,
                content_hash=uploaded.content_hash,
                object_hash=uploaded.object_hash,
                commit_id=uploaded.commit_id,
                asset_id=uploaded.asset_id,
                object_id=uploaded.object_id,
                size_bytes=uploaded.size_bytes,
                row_count=uploaded.row_count,
                columns=Jsonb(uploaded.columns),
            )

    @contextmanager
    def alone(self, dataset: str) -> Iterator[None]:
        """Keep others from publishing it meanwhile, or till we are killed.

        Raises:
            DatasetBusyError: Another run is at it.
            InboxUnavailableError: The database can't be reached.
        """
        require_current_schema(self._where)
        with connection_for_locks(self._where) as conn:
            row = fetch_one(conn, "lock_dataset", dataset=dataset)
            if not (row and row["locked"]):
                msg = f"another run is publishing {dataset}"
                raise DatasetBusyError(msg)
            yield
