"""What a source is called in OpenMetadata, in Dagster, and by nobody else."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slugify import slugify

from moderate.inbox.metadata_sources import Flow, Source

SHORT_HASH = 8
"""Hexadecimal digits that tell two alike apart."""

LONGEST_KEY = 40
"""Characters of a mapping key before its hash."""

LONGEST_NAME = 256
"""Characters of a service's name: the server takes no more."""

_UNNAMEABLE = re.compile(r'[">\x00-\x1f\x85\u2028\u2029]|::')


@dataclass(frozen=True)
class Named:
    """Sources with their names.

    Attributes:
        sources: All of them, in the order of their own names.
        new: Those that were not known.
        notes: What a person should know of a name.
    """

    sources: Sequence[Source]
    new: Sequence[Source]
    notes: Sequence[str]


def is_nameless(name: str) -> bool:
    """Return whether OpenMetadata can hold no database or schema of a name.

    Its server matches ``EntityName``, in which ``.`` is no line's end, and its
    qualified names make a sign of the double quote. Of these the framework
    writes some in another way, but not where a table names its schema.
    """
    return _UNNAMEABLE.search(name) is not None


def mapping_key(name: str) -> str:
    """Return the key of a dynamic step: valid, short, always the same."""
    slug = re.sub("[^a-z0-9]+", "_", slugify(name))
    return f"{slug[:LONGEST_KEY]}_{_digest(name)}".lstrip("_")


def service_name(flow: Flow, base: str, name: str) -> str:
    """Return what the service of a source is called in OpenMetadata.

    The rule of the platform's first ingestion, whose entities stay. A
    prefix, and what its hash is made of, ends with its slash.
    """
    slug = slugify(f"{base}-{name}")
    if flow is Flow.POSTGRES:
        return slug[:LONGEST_NAME]
    return _ended(slug, hashlib.sha256(name.encode()).hexdigest())


def named(
    flow: Flow, base: str, names: Iterable[str], known: Sequence[Source]
) -> Named:
    """Give each source its names.

    A known one keeps what it has. Of two whose names come to the same, the
    first (the one that is known, or else by order) has it, the other gets a
    suffix.

    Args:
        flow: What they are.
        base: How their services' names begin.
        names: As their server calls them.
        known: Those that were ever found, also if they are gone.
    """
    by_name = {source.name: source for source in known}
    owner = {source.service: source.name for source in known}
    sources: list[Source] = []
    new: list[Source] = []
    notes: list[str] = []
    for name in sorted(names):
        wanted = service_name(flow, base, name)
        source = by_name.get(name)
        if source is None:
            taken = wanted in owner
            service = _ended(wanted, _digest(name)) if taken else wanted
            source = Source(flow, name, mapping_key(name), service)
            owner[service] = name
            new.append(source)
        sources.append(source)
        if source.service != wanted:
            other = owner.get(wanted)
            why = (
                f"{wanted} is {other!r}"
                if other
                else "it keeps the name that it was given when it was found"
            )
            notes.append(
                f"{name!r} is {source.service} in OpenMetadata: {why}"
            )
    return Named(sources, new, notes)


def _ended(slug: str, end: str) -> str:
    return f"{slug[: LONGEST_NAME - 1 - len(end)]}-{end}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:SHORT_HASH]
