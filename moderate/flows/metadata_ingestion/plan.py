"""What is to be done: the difference of what there is and what is done.

Pure. Nothing here knows the framework, Dagster or a server.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moderate.inbox.metadata_sources import Done, Memory, Part, Step

DATABASE = "database"
SCHEMA = "schema"
TABLE = "table"
PROCEDURE = "procedure"

WHOLE = Part(DATABASE, "")
"""The database or the prefix itself."""


@dataclass(frozen=True)
class Seen:
    """What there is of a source.

    Attributes:
        parts: A hash of what each part is, without its rows.
        rows: A hash of what is known of the rows of each table.
        notes: What a person should know of the profiles.
        exists: Whether the source is there at all.
        left_out: What a person should know of what is no part of it.
    """

    parts: Mapping[Part, str]
    rows: Mapping[Part, str]
    notes: Sequence[str] = ()
    exists: bool = True
    left_out: Sequence[str] = ()


@dataclass(frozen=True)
class Order:
    """What one step is to do.

    Attributes:
        changed: Parts to bring over, with the fingerprints that they get.
        gone: Parts that OpenMetadata is to lose.
        unchanged: How many need nothing.
    """

    changed: Mapping[Part, str] = field(default_factory=dict)
    gone: Sequence[Part] = ()
    unchanged: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changed and not self.gone


def table(schema: str, name: str) -> Part:
    """Return the part that a table of a database is."""
    return Part(TABLE, json.dumps([schema, name], ensure_ascii=False))


def path_of(part: Part) -> list[str]:
    """Return the names of a database's part, outermost first."""
    names: list[str] = json.loads(part.name) if part.name else []
    return names


def digest(*facts: Any) -> str:
    """Return a hash of some facts."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def order(
    step: Step,
    seen: Seen | None,
    memory: Memory,
    made_of: str,
    max_age: float,
) -> Order:
    """Return what a step has to do.

    Args:
        step: Which one.
        seen: What there is; ``None``: the source is gone.
        memory: What is done.
        made_of: A hash of what everything depends on.
        max_age: Seconds after which a profile is made again.
    """
    done = memory[step]
    if seen is None:
        gone = tuple(sorted(done)) if step is Step.METADATA else ()
        return Order(gone=gone)
    if step is Step.METADATA:
        wanted = {p: digest(made_of, h) for p, h in seen.parts.items()}
        changed = _changed(wanted, done)
        gone = tuple(sorted(part for part in done if part not in wanted))
    else:
        # A profile is of what OpenMetadata has: when that changes, though
        # late, there is to be another. Without it there can be none.
        there = memory[Step.METADATA]
        wanted = {
            part: digest(made_of, rows, there[part].fingerprint)
            for part, rows in seen.rows.items()
            if part in there and there[part].fingerprint
        }
        changed = _changed(wanted, done, max_age)
        gone = ()
    return Order(changed, gone, len(wanted) - len(changed))


def _changed(
    wanted: Mapping[Part, str],
    done: Mapping[Part, Done],
    max_age: float = float("inf"),
) -> dict[Part, str]:
    return {
        part: fingerprint
        for part, fingerprint in wanted.items()
        if (last := done.get(part)) is None
        or last.fingerprint != fingerprint
        or last.age > max_age
    }
