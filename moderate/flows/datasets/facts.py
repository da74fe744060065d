"""What travels between the assets: paths and facts, never bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FORMATS = ("parquet", "csv")
"""The file name extensions of what is uploaded."""


@dataclass(frozen=True)
class Output:
    """One file that is ready to go up.

    Attributes:
        format: One of ``FORMATS``.
        path: Where it lies.
        size_bytes: Its length.
        sha256: Of its content.
        rows: Counted in it.
        columns: Names in it.
    """

    format: str
    path: Path
    size_bytes: int
    sha256: str
    rows: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Converted:
    """A file of the repository that has changed.

    Attributes:
        path: In the repository.
        made_of: What the conversion was made of, see ``collect.made_of``.
        content_hash: SHA-256 of the source.
        source_bytes: Its length.
        rows: Counted in it.
        columns: Name and type of its columns.
        outputs: What was made of it, one for each format.
        preview: Its first rows.
        drift: How its columns differ from the last version's, as a diff.
    """

    path: str
    made_of: str
    content_hash: str
    source_bytes: int
    rows: int
    columns: tuple[tuple[str, str], ...]
    outputs: tuple[Output, ...]
    preview: tuple[dict[str, str], ...]
    drift: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """A file that could not be brought, and why; the others were."""

    path: str
    why: str


@dataclass(frozen=True)
class Before:
    """Where the reference has uploaded a file as it is now.

    Attributes:
        series: Of the object on the platform.
        commit: The commit that the object was made from.
    """

    series: str
    commit: str


@dataclass(frozen=True)
class Collected:
    """A dataset as it is in its repository.

    Attributes:
        dataset: Its name.
        url: The repository that it came from.
        commit: The commit.
        folder: Holds the converted files.
        paths: All files that match.
        unchanged: Those that are on the platform already.
        converted: Those that are new or changed.
        failed: Those that could not be fetched or read.
        before: What the reference has uploaded of files as they are now, by
            path.
    """

    dataset: str
    url: str
    commit: str
    folder: Path
    paths: tuple[str, ...]
    unchanged: tuple[str, ...]
    converted: tuple[Converted, ...]
    failed: tuple[Failed, ...]
    before: Mapping[str, Before] = field(default_factory=dict)
