"""Names on the platform: always the same for the same thing."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from uuid import NAMESPACE_URL, uuid5

from slugify import slugify

_LENGTH_OF_MARK = 8


def asset_name(platform_name: str, number: int) -> str:
    """Return the name of a dataset's first asset or of a continuation."""
    name = slugify(platform_name)
    return name if number == 1 else f"{name}-{number}"


def asset_uuid(api_url: str, name: str) -> str:
    """Return the uuid of the asset of that name at that platform."""
    return str(uuid5(NAMESPACE_URL, f"{api_url.rstrip('/')}/asset/{name}"))


def file_name(path: str, ending: str) -> str:
    """Return under which name a file goes up in a format."""
    return f"{PurePosixPath(path).stem}.{ending}"


def series_of(
    paths: Iterable[str], ending: str, taken: Mapping[str, str]
) -> dict[str, str]:
    """Give each file its series: the slug of its name with extension.

    Of files whose names slugify alike the first by path has the plain series;
    the others' is marked by the path. Once given, a series stays.

    Args:
        paths: All files of a dataset.
        ending: The format's file name extension.
        taken: Files by the series that they have on the platform already.
    """
    given = {path: series for series, path in taken.items()}
    used = set(taken)
    for path in sorted(paths):
        if path in given:
            continue
        plain = slugify(file_name(path, ending))
        given[path] = plain if plain not in used else _marked(plain, path)
        used.add(given[path])
    return given


def _marked(plain: str, path: str) -> str:
    mark = hashlib.sha256(path.encode()).hexdigest()[:_LENGTH_OF_MARK]
    return f"{plain}-{mark}"
