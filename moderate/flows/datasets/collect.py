"""From a repository to converted files: only what changed, one by one.

Nothing outside the work folder is touched, so twice is harmless.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from moderate.clients.git import Entry, Pointer, Repository, Say, read_pointer
from moderate.clients.git_command import GitRefusedError, GitUnavailableError
from moderate.errors import ModerateError, PermanentError
from moderate.flows.datasets import before, work_folder
from moderate.flows.datasets.facts import (
    FORMATS,
    Collected,
    Converted,
    Failed,
    Output,
)
from moderate.flows.datasets.sources import Dataset
from moderate.inbox.dataset_objects import DatasetObject
from moderate.inbox.reference_uploads import ReferenceUpload
from moderate.workloads.csv_conversion.errors import CsvError
from moderate.workloads.csv_conversion.reading import Facts, Reading

CONVERSION = 1
"""Counted up when the same file is to be converted and uploaded anew."""


class DatasetError(PermanentError):
    """A file is not what its dataset's row says."""


Known = Mapping[tuple[str, str], DatasetObject]
"""What is on the platform, by path and format."""


def made_of(entry: Entry, reading: Reading) -> str:
    """Return what a conversion depends on: content, reading rule, our own."""
    rule = json.dumps(asdict(reading), sort_keys=True)
    digest = hashlib.sha256(rule.encode()).hexdigest()[:16]
    return f"{entry.blob}:{digest}:{CONVERSION}"


class Collector:
    """One dataset on its way from the repository into a folder.

    Args:
        dataset: Its row.
        url: The repository, or a mirror of it.
        folder: The run's work folder.
        known: What is on the platform.
        timeout: Seconds that one command of Git may take.
        say: Takes lines of progress.
        reference: What the reference has uploaded.
    """

    def __init__(
        self,
        dataset: Dataset,
        url: str,
        folder: Path,
        known: Known,
        *,
        timeout: float,
        say: Say,
        reference: Sequence[ReferenceUpload] = (),
    ) -> None:
        self._reference = reference
        self._dataset = dataset
        self._url = url
        self._folder = folder
        self._known = known
        self._timeout = timeout
        self._say = say
        self._failed: list[Failed] = []

    def collect(self) -> Collected:
        """Fetch and convert what is new or changed.

        Raises:
            GitRefusedError: The ref is gone, or a glob matches nothing.
            GitUnavailableError: The repository can't be reached.
            DiskFullError: There is no room for what is to come.
        """
        repository = Repository(
            self._folder / "clone",
            self._url,
            self._dataset.ref,
            timeout=self._timeout,
            say=self._say,
        )
        entries = repository.entries(self._dataset.globs)
        changed = [entry for entry in entries if not self._is_known(entry)]
        self._say(
            f"{self._url} at {repository.commit[:12]}: {len(entries)} files,"
            f" {len(changed)} of them new or changed"
        )
        unchanged = (
            before.proven(self._reference, entries, repository, self._say)
            if changed
            else {}
        )
        converted = self._convert_all(repository, changed) if changed else []
        paths = tuple(entry.path for entry in entries)
        changed_paths = {entry.path for entry in changed}
        return Collected(
            dataset=self._dataset.name,
            url=self._url,
            commit=repository.commit,
            folder=self._folder,
            paths=paths,
            unchanged=tuple(p for p in paths if p not in changed_paths),
            converted=tuple(converted),
            failed=tuple(self._failed),
            before=unchanged,
        )

    def _is_known(self, entry: Entry) -> bool:
        wanted = made_of(entry, self._dataset.reading(entry.path))
        return all(
            (last := self._known.get((entry.path, ending))) is not None
            and last.made_of == wanted
            for ending in FORMATS
        )

    def _convert_all(
        self, repository: Repository, changed: Sequence[Entry]
    ) -> list[Converted]:
        work_folder.require_space(self._folder, self._expected(changed))
        present = self._checked_out(repository, changed)
        pointers = self._pointers(repository, present)
        sizes = {
            entry: pointer.size if pointer else _size(repository, entry)
            for entry, pointer in pointers.items()
        }
        work_folder.require_space(self._folder, _needed(sizes.values()))
        converted = []
        for number, (entry, pointer) in enumerate(pointers.items(), 1):
            self._say(f"{number} of {len(pointers)}: {entry.path}")
            try:
                converted.append(
                    self._convert(repository, entry, pointer, number)
                )
            except (ModerateError, CsvError, OSError) as error:
                self._fail(entry, error)
        return converted

    def _expected(self, changed: Sequence[Entry]) -> float:
        """Return the bytes needed if files are as large as last time.

        How large a new one is, nobody says before it is fetched.
        """
        last = [self._known.get((entry.path, "csv")) for entry in changed]
        return _needed([each.size_bytes for each in last if each])

    def _checked_out(
        self, repository: Repository, changed: Sequence[Entry]
    ) -> Sequence[Entry]:
        """Bring all files at once, or one by one where that fails."""
        try:
            repository.checkout(changed)
        except GitUnavailableError:
            work_folder.require_space(self._folder, 0)
            self._say("the files do not come together; one by one")
        else:
            return changed
        present: list[Entry] = []
        for entry in changed:
            try:
                repository.checkout([*present, entry])
            except GitUnavailableError as error:
                self._fail(entry, error)
            else:
                present.append(entry)
        if present:
            repository.checkout(present)
        return present

    def _pointers(
        self, repository: Repository, entries: Iterable[Entry]
    ) -> dict[Entry, Pointer | None]:
        """Say which files Git LFS has, without those that are broken."""
        found: dict[Entry, Pointer | None] = {}
        for entry in entries:
            try:
                found[entry] = self._pointer(repository, entry)
            except (GitRefusedError, DatasetError) as error:
                self._fail(entry, error)
        return found

    def _pointer(self, repository: Repository, entry: Entry) -> Pointer | None:
        pointer = read_pointer(repository.path(entry))
        if pointer and not self._dataset.lfs:
            msg = "is kept by Git LFS, which its dataset does not use"
            raise DatasetError(msg)
        return pointer

    def _convert(
        self,
        repository: Repository,
        entry: Entry,
        pointer: Pointer | None,
        number: int,
    ) -> Converted:
        # Heavy, so only where it is needed.
        from moderate.workloads.csv_conversion.convert import (  # noqa: PLC0415
            convert,
        )

        source = repository.path(entry)
        if pointer:
            source = self._folder / f"{number}.source"
            repository.download(entry, pointer, source)
        reading = self._dataset.reading(entry.path)
        targets = {e: self._folder / f"{number}.{e}" for e in FORMATS}
        try:
            facts = convert(
                source, targets["parquet"], targets["csv"], reading
            )
            return self._described(entry, source, facts, targets)
        except BaseException:
            for target in targets.values():
                target.unlink(missing_ok=True)
            raise
        finally:
            source.unlink(missing_ok=True)

    def _described(
        self,
        entry: Entry,
        source: Path,
        facts: Facts,
        targets: Mapping[str, Path],
    ) -> Converted:
        counted = {
            "parquet": (facts.parquet_rows, facts.parquet_columns),
            "csv": (facts.csv_rows, facts.csv_columns),
        }
        columns = tuple(facts.columns.items())
        last = self._known.get((entry.path, "parquet"))
        return Converted(
            path=entry.path,
            made_of=made_of(entry, self._dataset.reading(entry.path)),
            content_hash=sha256(source),
            source_bytes=source.stat().st_size,
            rows=facts.rows,
            columns=columns,
            outputs=tuple(
                Output(
                    ending,
                    target,
                    target.stat().st_size,
                    sha256(target),
                    counted[ending][0],
                    tuple(counted[ending][1]),
                )
                for ending, target in targets.items()
            ),
            preview=tuple(dict(row) for row in facts.preview),
            drift=drift(last.columns, columns) if last else (),
        )

    def _fail(self, entry: Entry, error: Exception) -> None:
        why = str(error).replace(str(self._folder), "")
        self._say(f"{entry.path}: {why}")
        self._failed.append(Failed(entry.path, why))


def known_of(
    remembered: Iterable[DatasetObject], present: Mapping[int, str]
) -> Known:
    """Return what of our memory is still on the platform.

    Args:
        remembered: Our memory.
        present: SHA-256 by id of the platform's objects.
    """
    return {
        (each.path, each.format): each
        for each in remembered
        if present.get(each.object_id) == each.object_hash
    }


def drift(
    before: Iterable[Sequence[str]], after: Iterable[Sequence[str]]
) -> tuple[str, ...]:
    """Return how columns have changed, as the lines of a diff."""
    old = {pair[0]: pair[1] for pair in before}
    new = {pair[0]: pair[1] for pair in after}
    lines = []
    for name in [*old, *(name for name in new if name not in old)]:
        if old.get(name) != new.get(name):
            lines += [f"- {name}: {old[name]}"] if name in old else []
            lines += [f"+ {name}: {new[name]}"] if name in new else []
    return tuple(lines)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _needed(sizes: Collection[int]) -> float:
    """Return how many bytes of the disk it takes to convert files."""
    # LFS keeps a copy of the one that is being fetched.
    largest = max(sizes, default=0)
    return sum(sizes) * work_folder.OUTPUT_FACTOR + 2 * largest


def _size(repository: Repository, entry: Entry) -> int:
    return repository.path(entry).stat().st_size
