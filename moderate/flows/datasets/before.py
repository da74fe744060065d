"""What the reference implementation has uploaded, and what of it still holds.

It kept a file's name and the commit of the whole repository. A file is
*proven* unchanged if it has the same content in that commit as now, which Git
says without fetching any: then the Parquet object that the reference has
uploaded from that commit stands for ours, and is not uploaded again. What
can't be proven is uploaded; that is harmless, a new series beside the old
one.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from slugify import slugify

from moderate.clients.git import Entry, Repository, Say
from moderate.clients.git_command import GitRefusedError, GitUnavailableError
from moderate.flows.datasets.facts import Before
from moderate.inbox.reference_uploads import ReferenceUpload

ENDING = "parquet"
"""The only format of the reference."""


def names_of(paths: Collection[str]) -> dict[str, str]:
    """Return the reference's name of each file, by path.

    That is the slug of the path, without its extension and without what all
    paths begin with, letter by letter. Files with the same name are left
    out: the reference took one for the other.
    """
    start = len(os.path.commonprefix(list(paths)))  # noqa: RUF071
    names = {
        path: slugify(str(PurePosixPath(path).with_suffix(""))[start:])
        for path in paths
    }
    times = Counter(names.values())
    return {path: name for path, name in names.items() if times[name] == 1}


def proven(
    uploads: Iterable[ReferenceUpload],
    entries: Sequence[Entry],
    repository: Repository,
    say: Say,
) -> dict[str, Before]:
    """Return what the reference has uploaded of files as they are now.

    Args:
        uploads: What it remembered.
        entries: All files of the dataset.
        repository: As it is now; asked for the commits of then.
        say: Takes lines of progress.
    """
    commits = {each.name: each.commit_id for each in uploads}
    if not commits:
        return {}
    names = names_of([entry.path for entry in entries])
    known = {e: names[e.path] for e in entries if e.path in names}
    asked = {e: commits[name] for e, name in known.items() if name in commits}
    then = {c: _blobs(repository, c, say) for c in set(asked.values())}
    return {
        entry.path: Before(slugify(f"{known[entry]}.{ENDING}"), commit)
        for entry, commit in asked.items()
        if then[commit].get(entry.path) == entry.blob
    }


def _blobs(repository: Repository, commit: str, say: Say) -> Mapping[str, str]:
    """Return the content's names of a commit; nothing if it is gone."""
    try:
        return repository.blobs_at(commit)
    except (GitRefusedError, GitUnavailableError) as error:
        say(f"nothing is known of commit {commit[:12]}: {error}")
        return {}
