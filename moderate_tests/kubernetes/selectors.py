"""Which objects a label and a field selector choose."""

from typing import Any

from moderate_tests.kubernetes.store import Json


def is_chosen(thing: Json, query: dict[str, str]) -> bool:
    """Say whether the selectors of a query choose an object."""
    labels = thing["metadata"].get("labels") or {}
    for part in filter(None, query.get("labelSelector", "").split(",")):
        name, equals, value = part.partition("=")
        if not equals and name.startswith("!"):
            if name[1:] in labels:
                return False
        elif labels.get(name) != value:
            return False
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = part.partition("=")
        found: Any = thing
        for step in path.split("."):
            found = found.get(step, {})
        if found != value:
            return False
    return True
