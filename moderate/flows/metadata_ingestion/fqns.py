"""What a part is called in OpenMetadata: its fully qualified name.

By the framework's own functions, so in the workshop's processes only.
"""

import hashlib

from moderate.flows.metadata_ingestion.plan import PROCEDURE, TABLE, path_of
from moderate.flows.metadata_ingestion.task import LakePlace, Task
from moderate.inbox.metadata_sources import Part

LAKE_DATABASE = "default"
"""What the framework calls the database of a service of objects."""

LONGEST_NAME = 256
"""Of an object; longer ones go by a hash."""


def names_of(task: Task, part: Part) -> list[str]:
    """Return the names below the service, outermost first."""
    if isinstance(task.place, LakePlace):
        if part.kind != TABLE:
            return [LAKE_DATABASE]
        return [LAKE_DATABASE, task.place.bucket, _object_name(part.name)]
    return [task.source.name, *path_of(part)]


def fqn_of(task: Task, part: Part) -> str:
    """Return the fully qualified name of a part.

    Raises:
        ValueError: The framework has none for it.
    """
    return _join(task, names_of(task, part), part.kind)


def schema_fqn_of(task: Task, part: Part) -> str | None:
    """Return that of the schema that a part is, or is in."""
    names = names_of(task, part)
    return _join(task, names[:2], "") if len(names) > 1 else None


def fqn_below(parent: str, name: str) -> str:
    """Return the fully qualified name of something in a parent."""
    from metadata.utils.fqn import quote_name

    return f"{parent}.{quote_name(name)}"


def _join(task: Task, names: list[str], kind: str) -> str:
    from metadata.ingestion.models.custom_basemodel_validation import (
        replace_separators,
    )
    from metadata.utils.fqn import _build

    if kind in (TABLE, PROCEDURE):
        names = [*names[:-1], replace_separators(names[-1])]
    return str(_build(task.source.service, *names))


def _object_name(key: str) -> str:
    if len(key) <= LONGEST_NAME:
        return key
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
