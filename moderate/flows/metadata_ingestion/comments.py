"""Carries comments that changed in the source over to the server.

A bot's PUT never replaces a description that is there: the server holds that
a person wrote it. So it is remembered, as a hash, what was last brought over
of each comment. A description that is still so is replaced when its comment
changes; any other is a person's, and stays.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moderate.flows.metadata_ingestion.account import Account
from moderate.flows.metadata_ingestion.fqns import fqn_below
from moderate.flows.metadata_ingestion.plan import (
    DATABASE,
    PROCEDURE,
    SCHEMA,
    TABLE,
    digest,
)
from moderate.inbox.metadata_sources import Comments as Hashes
from moderate.inbox.metadata_sources import Part

ITSELF = ""
"""The name by which a part's own comment goes, beside its columns'."""

PARENTS = ("databaseSchema", "database", "service")
"""Fields of create requests that hold their parent's name."""

MOST_NAMED = 20
"""Descriptions that a note names."""


@dataclass(frozen=True)
class _Sent:
    fqn: str
    part: Part
    texts: Mapping[str, str]


class Comments:
    """The comments of what one task brings over.

    Args:
        known: As they were last brought over.
        account: Told of the new ones.
    """

    def __init__(self, known: Hashes, account: Account) -> None:
        self._known = known
        self._account = account
        self._sent: list[_Sent] = []

    def sent(self, requests: Iterable[Any]) -> None:
        """Note what the framework sends.

        Args:
            requests: Its create requests.
        """
        for request in requests:
            fqn = _fqn(request)
            part = self._account.part(fqn)
            if part is None:
                continue
            texts = _texts(request)
            self._sent.append(_Sent(fqn, part, texts))
            self._account.commented(
                part, {name: digest(text) for name, text in texts.items()}
            )

    def carry_over(self, connect: Callable[[], Any]) -> None:
        """Replace descriptions whose comments changed, where they are ours.

        Tried again it does the same again, or nothing.

        Args:
            connect: Returns a client of the framework; called if needed.
        """
        changes = [
            (each, changed)
            for each in self._sent
            if (changed := _changed(each, self._known.get(each.part, {})))
        ]
        if not changes:
            return
        client = connect()
        kept = [
            name
            for each, changed in changes
            for name in _replace(client, each, changed)
        ]
        if kept:
            self._account.noted(_of_kept(kept))


def _changed(sent: _Sent, known: Mapping[str, str]) -> Mapping[str, str]:
    """Return which comments were other ones, with what they were."""
    return {
        name: was
        for name, was in known.items()
        if _hash(sent.texts.get(name)) != was
    }


def _replace(
    client: Any, sent: _Sent, changed: Mapping[str, str]
) -> list[str]:
    """Replace what is ours, and return the names of what is not."""
    kind = entity(sent.part.kind)
    fields = ["columns"] if sent.part.kind == TABLE else None
    there = client.get_by_name(entity=kind, fqn=sent.fqn, fields=fields)
    if there is None:
        return []
    wanted = there.model_copy(deep=True)
    holders = _holders(wanted)
    kept: list[str] = []
    for name, was in changed.items():
        holder = holders.get(name)
        new = sent.texts.get(name)
        if holder is None or _text(holder) == new:
            continue
        if _hash(_text(holder)) == was:
            holder.description = _markdown(new)
        else:
            kept.append(f"{sent.fqn}.{name}" if name else sent.fqn)
    client.patch(
        entity=kind, source=there, destination=wanted, skip_on_failure=False
    )
    return kept


def entity(kind: str) -> Any:
    """Return the framework's model of a kind of part."""
    from metadata.generated.schema.entity.data.database import (
        Database,
    )
    from metadata.generated.schema.entity.data.databaseSchema import (
        DatabaseSchema,
    )
    from metadata.generated.schema.entity.data.storedProcedure import (
        StoredProcedure,
    )
    from metadata.generated.schema.entity.data.table import (
        Table,
    )

    return {
        DATABASE: Database,
        SCHEMA: DatabaseSchema,
        TABLE: Table,
        PROCEDURE: StoredProcedure,
    }[kind]


def _markdown(text: str | None) -> Any:
    from metadata.generated.schema.type.basic import Markdown

    return None if text is None else Markdown(text)


def _fqn(request: Any) -> str:
    name = request.name.root
    for field in PARENTS:
        if parent := getattr(request, field, None):
            return fqn_below(parent.root, name)
    return str(name)


def _holders(thing: Any) -> dict[str, Any]:
    """Return what has a description, by name."""
    columns = getattr(thing, "columns", None) or ()
    return {ITSELF: thing} | {_name(column): column for column in columns}


def _texts(request: Any) -> dict[str, str]:
    holders = _holders(request).items()
    return {n: text for n, holder in holders if (text := _text(holder))}


def _text(holder: Any) -> str | None:
    description = getattr(holder, "description", None)
    return description.root.strip() or None if description else None


def _name(column: Any) -> str:
    from metadata.ingestion.models.custom_basemodel_validation import (
        revert_separators,
    )

    return str(revert_separators(column.name.root))


def _hash(text: str | None) -> str | None:
    return None if text is None else digest(text)


def _of_kept(kept: list[str]) -> str:
    named = ", ".join(sorted(kept)[:MOST_NAMED])
    more = len(kept) - MOST_NAMED
    rest = f" and {more} more" if more > 0 else ""
    return (
        "comments that changed here, while a person changed the description"
        f" in OpenMetadata, which stays: {named}{rest}"
    )
