"""Finding the columns that a person named."""

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches

from moderate.dataservices.errors import DataError

SHOWN = 20
"""Names that an error lists at the most."""


def resolve(
    wanted: Iterable[str],
    columns: Sequence[str],
    *,
    ignore_case: bool = False,
) -> tuple[str, ...]:
    """Return the columns that are meant, in the order asked for.

    Args:
        wanted: Names as given in a configuration.
        columns: Names in the data set.
        ignore_case: Take a column that differs only by case, if it is one.

    Raises:
        DataError: A column does not exist, or is named twice.
    """
    found = [_find(name, columns, ignore_case=ignore_case) for name in wanted]
    if twice := {name for name in found if found.count(name) > 1}:
        msg = f"column {min(twice)!r} is named twice"
        raise DataError(msg)
    return tuple(found)


def _find(name: str, columns: Sequence[str], *, ignore_case: bool) -> str:
    if name in columns:
        return name
    same = [c for c in columns if c.casefold() == name.casefold()]
    if ignore_case and len(same) == 1:
        return same[0]
    msg = f"there is no column {name!r}{_hint(name, same, columns)}"
    raise DataError(msg)


def _hint(name: str, same: Sequence[str], columns: Sequence[str]) -> str:
    if same:
        names = " or ".join(map(repr, same))
        return f"; {names} differs by case: did you mean that?"
    if near := get_close_matches(name, columns, n=1):
        return f"; did you mean {near[0]!r}?"
    listed = ", ".join(map(repr, columns[:SHOWN]))
    return f"; there are {listed}"


def refuse_overlap(**roles: Collection[str]) -> None:
    """Refuse a column in two roles.

    Raises:
        DataError: Names the column and both roles.
    """
    seen: dict[str, str] = {}
    for role, names in roles.items():
        said = role.replace("_", " ")
        for name in names:
            if name in seen:
                msg = f"column {name!r} is both {seen[name]} and {said}"
                raise DataError(msg)
            seen[name] = said
