"""What the metadata ingestion remembers of what it has done.

Beside the inbox, in the same database: it holds no work items, for what is
to be done is seen each time, from what there is and what is remembered.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

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


class Flow(StrEnum):
    """What is ingested."""

    POSTGRES = "postgres"
    DATALAKE = "datalake"


class Step(StrEnum):
    """What is done with it."""

    METADATA = "metadata"
    PROFILE = "profile"


@dataclass(frozen=True, order=True)
class Part:
    """Something that comes and goes alone.

    Attributes:
        kind: ``database``, ``schema``, ``table`` or ``procedure``.
        name: Its name within the source; of a database's parts a JSON list.
    """

    kind: str
    name: str


@dataclass(frozen=True)
class Source:
    """A database or a prefix.

    Attributes:
        flow: Which of both.
        name: As its server calls it.
        key: As Dagster calls it.
        service: As OpenMetadata calls it.
        place: Where it was found, as a hash; empty if that is not known.
    """

    flow: Flow
    name: str
    key: str
    service: str
    place: str = ""


@dataclass(frozen=True)
class Done:
    """A part that was brought to OpenMetadata, or was about to be.

    Attributes:
        fingerprint: What it was made of; empty if it is to be made (again).
        age: Seconds since.
    """

    fingerprint: str
    age: float


Memory = Mapping[Step, Mapping[Part, Done]]
"""What is done of a source."""

Comments = Mapping[Part, Mapping[str, str]]
"""Hashes of the comments that were brought over, of each part that has any:
by column, and of the part itself by the empty name."""


class SourceBusyError(TemporaryError):
    """Another run is at the source."""


class MetadataSources:
    """The memory of the ingestion, in the database at ``where``.

    All methods raise ``InboxUnavailableError`` when it can't be reached.
    """

    def __init__(self, where: Address) -> None:
        self._where = where

    def sources(self, flow: Flow) -> Sequence[Source]:
        """Return all sources that are known.

        Raises:
            StaleSchemaError: The schema has to be migrated first.
        """
        require_current_schema(self._where)
        with transaction(self._where) as conn:
            rows = fetch(conn, "known_metadata_sources", flow=flow)
        return [
            Source(
                Flow(row["flow"]),
                row["name"],
                row["key"],
                row["service"],
                row["place"],
            )
            for row in rows
        ]

    def move(self, flow: Flow, names: Iterable[str], place: str) -> None:
        """Remember of sources that they are at a place now."""
        with transaction(self._where) as conn:
            run(
                conn,
                "move_metadata_sources",
                flow=flow,
                names=list(names),
                place=place,
            )

    def add(self, sources: Iterable[Source]) -> None:
        """Remember sources; those that are known keep their names."""
        with transaction(self._where) as conn:
            for each in sources:
                run(
                    conn,
                    "add_metadata_source",
                    flow=each.flow,
                    name=each.name,
                    key=each.key,
                    service=each.service,
                    place=each.place,
                )

    def forget(self, source: Source) -> None:
        """Forget a source that is gone, and all of it."""
        with transaction(self._where) as conn:
            run(
                conn,
                "forget_metadata_source",
                flow=source.flow,
                name=source.name,
            )

    def memories(self, flow: Flow) -> Mapping[str, Memory]:
        """Return what is done of each source that has anything done."""
        return self._memories(flow, None)

    def memory(self, source: Source) -> Memory:
        """Return what is done of one source."""
        found = self._memories(source.flow, source.name)
        return found.get(source.name) or _nothing()

    def comments(self, source: Source) -> Comments:
        """Return the comments of a source that were brought over."""
        with transaction(self._where) as conn:
            rows = fetch(
                conn,
                "known_metadata_comments",
                flow=source.flow,
                name=source.name,
            )
        return {
            Part(row["kind"], row["part"]): row["comments"] for row in rows
        }

    def announce(self, source: Source, parts: Iterable[Part]) -> None:
        """Remember that parts are about to be brought over.

        OpenMetadata may have each from then on, whatever we hear of it: one
        that goes before it was ever done is to be taken away all the same.
        """
        listed = list(parts)
        with transaction(self._where) as conn:
            run(
                conn,
                "announce_metadata_parts",
                flow=source.flow,
                name=source.name,
                kinds=[part.kind for part in listed],
                parts=[part.name for part in listed],
            )

    def done(
        self,
        source: Source,
        step: Step,
        parts: Mapping[Part, str],
        comments: Comments,
    ) -> None:
        """Remember that parts were brought over, by their fingerprints."""
        with transaction(self._where) as conn:
            run(
                conn,
                "add_metadata_parts",
                flow=source.flow,
                name=source.name,
                step=step,
                kinds=[part.kind for part in parts],
                parts=[part.name for part in parts],
                fingerprints=list(parts.values()),
                comments=[json.dumps(comments.get(p, {})) for p in parts],
            )

    def gone(self, source: Source, parts: Iterable[Part]) -> None:
        """Forget parts that OpenMetadata does not have any more."""
        listed = list(parts)
        with transaction(self._where) as conn:
            run(
                conn,
                "drop_metadata_parts",
                flow=source.flow,
                name=source.name,
                kinds=[part.kind for part in listed],
                parts=[part.name for part in listed],
            )

    def redo(self, flow: Flow, names: Iterable[str]) -> None:
        """Let everything of some sources be made again."""
        with transaction(self._where) as conn:
            run(conn, "redo_metadata_parts", flow=flow, names=list(names))

    @contextmanager
    def alone(self, source: Source) -> Iterator[None]:
        """Keep other runs from the source meanwhile, or till we are killed.

        Raises:
            SourceBusyError: Another run is at it.
        """
        with connection_for_locks(self._where) as conn:
            row = fetch_one(
                conn,
                "lock_metadata_source",
                flow=source.flow,
                name=source.name,
            )
            if not (row and row["locked"]):
                msg = f"another run is at {source.name}"
                raise SourceBusyError(msg)
            yield

    def _memories(self, flow: Flow, name: str | None) -> Mapping[str, Memory]:
        with transaction(self._where) as conn:
            rows = fetch(conn, "known_metadata_parts", flow=flow, name=name)
        found: dict[str, dict[Step, dict[Part, Done]]] = {}
        for row in rows:
            steps = found.setdefault(row["name"], _nothing())
            part = Part(row["kind"], row["part"])
            done = Done(row["fingerprint"], row["age"])
            steps[Step(row["step"])][part] = done
        return found


def _nothing() -> dict[Step, dict[Part, Done]]:
    return {step: {} for step in Step}
