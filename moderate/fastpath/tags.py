"""What a run's tags say of how it is launched."""

from collections.abc import Mapping
from contextlib import suppress

from moderate.flows.tags import BATCH

LAUNCHER = "moderate/launcher"
"""``warm`` or ``other``; without it, runs of the inbox are warm."""

WARM = "warm"
PRIORITY = "dagster/priority"


def is_warm(tags: Mapping[str, str]) -> bool:
    """Say whether a run goes to a warm worker."""
    if LAUNCHER in tags:
        return tags[LAUNCHER] == WARM
    return BATCH in tags


def priority(tags: Mapping[str, str]) -> int:
    """Return a run's priority, as Dagster's queue understands the tag."""
    with suppress(ValueError):
        return int(tags.get(PRIORITY, "0"))
    return 0
