"""Finds out which sources have changed, without the framework."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from moderate.errors import ModerateError
from moderate.flows.metadata_ingestion.ingestion import (
    ELSEWHERE,
    NOTHING,
    Ingestion,
)
from moderate.flows.metadata_ingestion.names import named
from moderate.inbox.metadata_sources import Flow, Memory, Source, Step

THREADS = 4
"""Sources that are looked at at the same time."""


@dataclass(frozen=True)
class Found:
    """What a look at all sources found.

    Attributes:
        changed: Sources that have something to be done.
        unchanged: The others, with how many parts they have.
        notes: What a person should know.
    """

    changed: Sequence[Source]
    unchanged: Sequence[tuple[Source, int]]
    notes: Sequence[str]


def find(
    ingestion: Ingestion,
    only: Sequence[str] = (),
    *,
    force: bool = False,
    moved: bool = False,
) -> Found:
    """Look at all sources.

    Args:
        ingestion: Of one flow.
        only: Names of sources; none: all of them.
        force: Let everything of them be made again.
        moved: Take those that were found elsewhere for what is here now.

    Raises:
        ModerateError: The list of sources, OpenMetadata or the inbox's
            database can't be read.
    """
    listed = ingestion.eye.at.listed()
    known = _placed(ingestion, only, moved=moved)
    sources, notes = _sources(ingestion, listed, known)
    if only:
        notes = [*_unknown(only, sources, listed), *notes]
        sources = [source for source in sources if source.name in only]
    if force:
        ingestion.memory.redo(ingestion.flow, [each.name for each in sources])
    services = ingestion.server.services()
    memories = ingestion.memory.memories(ingestion.flow)
    with ThreadPoolExecutor(THREADS) as pool:
        verdicts = list(
            pool.map(
                lambda source: _verdict(
                    ingestion,
                    source,
                    memories.get(source.name, NOTHING),
                    services,
                ),
                sources,
            )
        )
    pairs = list(zip(sources, verdicts, strict=True))
    return Found(
        changed=[source for source, parts in pairs if parts is None],
        unchanged=[(s, parts) for s, parts in pairs if parts is not None],
        notes=notes,
    )


def _placed(
    ingestion: Ingestion, only: Sequence[str], *, moved: bool
) -> Sequence[Source]:
    """Return the known sources, with the places that they have from now on."""
    flow, memory, eye = ingestion.flow, ingestion.memory, ingestion.eye
    known = memory.sources(flow)
    asked = set(only) or {source.name for source in known}
    new = [
        source.name
        for source in known
        if not source.place or (moved and source.name in asked)
    ]
    if not new:
        return known
    memory.move(flow, new, eye.where)
    return memory.sources(flow)


def _sources(
    ingestion: Ingestion,
    listed: Mapping[str, str | None],
    known: Sequence[Source],
) -> tuple[Sequence[Source], Sequence[str]]:
    """Return what is looked at: what there is, and what was there."""
    flow, settings = ingestion.flow, ingestion.settings
    base = (
        settings.postgres_service
        if flow is Flow.POSTGRES
        else settings.datalake_service
    )
    elsewhere = {s.name for s in known if not ingestion.eye.sees(s)}
    why_nots = {**listed, **dict.fromkeys(sorted(elsewhere), ELSEWHERE)}
    wanted = [name for name, why_not in why_nots.items() if why_not is None]
    got = named(flow, base, wanted, known)
    here = ingestion.eye.where
    ingestion.memory.add(replace(each, place=here) for each in got.new)
    # One that is left out is not gone: what is there of it stays.
    gone = [source for source in known if source.name not in why_nots]
    left_out = [
        f"{name!r} is left out: {why_not}"
        for name, why_not in why_nots.items()
        if why_not is not None
    ]
    return [*got.sources, *gone], [*left_out, *got.notes]


def _unknown(
    only: Sequence[str],
    sources: Sequence[Source],
    listed: Mapping[str, str | None],
) -> Sequence[str]:
    known = {source.name for source in sources} | listed.keys()
    return [
        f"{name!r} was asked for, and there is none"
        for name in dict.fromkeys(only)
        if name not in known
    ]


def _verdict(
    ingestion: Ingestion,
    source: Source,
    memory: Memory,
    services: Mapping[str, str],
) -> int | None:
    """Return how many parts an unchanged source has; ``None``: changed.

    One that can't be looked at is as good as changed: its own step fails
    then, with the reason, and no other's.
    """
    try:
        seen = ingestion.eye.look(source)
    except ModerateError:
        return None
    if seen is None:  # It is to be forgotten at least.
        return None
    service_id = services.get(source.service)
    orders = [ingestion.order(s, seen, memory, service_id) for s in Step]
    if not all(order.is_empty for order in orders):
        return None
    return len(seen.parts)
