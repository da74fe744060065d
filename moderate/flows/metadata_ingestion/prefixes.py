"""What a bucket has below its top-level prefixes, as a listing says."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from moderate.clients.object_storage import ObjectStorage
from moderate.flows.metadata_ingestion.plan import (
    TABLE,
    WHOLE,
    Seen,
    digest,
)
from moderate.inbox.metadata_sources import Part

FORMATS = (
    "csv",
    "csv.gz",
    "tsv",
    "avro",
    "parquet",
    "pq",
    "pqt",
    "parq",
    "parquet.snappy",
    "json",
    "json.gz",
    "json.zip",
    "jsonl",
    "jsonl.gz",
    "jsonl.zip",
    "mf4",
)
"""Ends of the keys that the framework takes for tables; a test compares."""


@dataclass(frozen=True)
class Prefixes:
    """The prefixes of a bucket.

    Args:
        storage: Where it is.
        bucket: Its name.
        most_objects: A prefix with more can't be looked at.
        ignored: Regular expressions of prefixes to be left out.
    """

    storage: ObjectStorage
    bucket: str
    most_objects: int
    ignored: Sequence[str] = ()

    def listed(self) -> Mapping[str, str | None]:
        """Return all prefixes, with why one is left out, if it is."""
        return {
            name: self._why_not(name)
            for name in self.storage.prefixes(self.bucket)
        }

    def look(self, prefix: str) -> Seen:
        """Return what is below a prefix.

        Raises:
            PermanentError: Among others: there are too many objects.
            TemporaryError: The storage did not answer.
        """
        found = self.storage.objects(self.bucket, prefix, self.most_objects)
        parts = {
            Part(TABLE, each.key): digest(each.size, each.etag)
            for each in found
            if each.size and is_table(each.key)
        }
        return Seen(
            {WHOLE: "", **parts},
            parts,
            _of_others(found, parts),
            exists=bool(found),
        )

    def _why_not(self, name: str) -> str | None:
        for pattern in self.ignored:
            if re.fullmatch(pattern, name):
                return f"matches {pattern!r}"
        return None


def is_table(key: str) -> bool:
    """Say whether an object is a table to the framework."""
    return key.lower().endswith(FORMATS)


def _of_others(
    found: Sequence[object], parts: Iterable[Part]
) -> tuple[str, ...]:
    others = len(found) - len(list(parts))
    if not others:
        return ()
    return (f"{others} objects are empty, or in no format of tables",)
