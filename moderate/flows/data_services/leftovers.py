"""What runs that were killed have left beside their outputs."""

import re
from collections.abc import Callable, Iterable

from dagster import MetadataValue, OpExecutionContext

from moderate.errors import ModerateError

LEFT_BEHIND = "left by other runs"
"""The metadata that shows what was not removed."""


def part_of(name: str, run_id: str) -> str:
    """Return what an output is called until it is whole."""
    return f"{name}.{run_id}.part"


def remove_leftovers(
    context: OpExecutionContext,
    name: str,
    find: Callable[[], Iterable[str]],
    remove: Callable[[str], None],
) -> None:
    """Remove the parts of an output that ended runs have left.

    What may still be written to, by a run that lives or by another Dagster's,
    is shown instead. The output is there already: what goes wrong here is
    said, and fails nothing.

    Args:
        context: Of the op that has written the output.
        name: Of the output.
        find: Returns names that may be parts.
        remove: Removes a part by its name.
    """
    left = []
    try:
        for part, run_id in _parts(name, find()):
            run = context.instance.get_run_by_id(run_id)
            if run is not None and run.is_finished:
                remove(part)
                context.log.info("removed %s, left by a run that ended", part)
            else:
                left.append(part)
    except (ModerateError, OSError) as error:
        context.log.warning("leftovers can't be removed: %s", error)
    if left:
        context.log.warning("left by other runs: %s", ", ".join(left))
        context.add_output_metadata({LEFT_BEHIND: MetadataValue.json(left)})


def _parts(name: str, found: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Yield what is a part of an output, and the run that has begun it."""
    before, after = map(re.escape, part_of(name, "/").rsplit("/", 1))
    pattern = re.compile(f"{before}([0-9a-f-]+){after}")
    for each in sorted(found):
        if match := pattern.fullmatch(each):
            yield each, match[1]
