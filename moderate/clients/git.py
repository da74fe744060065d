"""Files out of Git repositories, fetched one by one as they are wanted.

The real ``git`` and ``git-lfs`` do the work. A clone is shallow (one commit)
and partial (no content), so that what the repository has is known before any
of it is fetched; a sparse checkout then brings the wanted files alone, and
Git LFS their objects alone.

A repository is not trusted: nothing of it goes through a shell or is taken
for an option, none of its hooks, filters, links and submodules is followed,
and it does not say where its LFS objects are. Nothing of our environment but
what Git needs reaches it.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from moderate.clients.git_command import (
    SCHEMES,
    Git,
    GitRefusedError,
    GitUnavailableError,
)
from moderate.redaction import Redactor

_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n"
    rb"(?:ext-\d-\w+ [^\n]*\n)*"
    rb"oid sha256:([0-9a-f]{64})\n"
    rb"size (\d{1,18})\n"
)
_POINTER_START = b"version https://git-lfs.github.com/spec/"
_LONGEST_POINTER = 1024
_FILE_MODES = ("100644", "100755")
# Above every attribute of the repository: bytes come as they are.
_ATTRIBUTES = "* -text -ident -filter -working-tree-encoding\n"
# In a pattern of a sparse checkout they would mean something.
_PATTERN_SIGNS = re.compile(r"([\\*?\[\]!#\s])")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Entry:
    """A file of a commit.

    Attributes:
        path: In the repository, with slashes.
        blob: Git's name of the content; for an LFS file, of its pointer. The
            same content has the same name.
    """

    path: str
    blob: str


@dataclass(frozen=True)
class Pointer:
    """What stands in place of a file that Git LFS keeps.

    Attributes:
        oid: SHA-256 of the file.
        size: Its bytes.
    """

    oid: str
    size: int


def check_url(url: str) -> SplitResult:
    """Return a URL's parts if a repository may be there.

    Raises:
        GitRefusedError: Its scheme is not allowed, it carries a password, or
            it could be taken for something else.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        msg = "a repository's URL can't be read"
        raise GitRefusedError(msg) from error
    shown = Redactor().redact(url[:200])
    if parts.scheme not in SCHEMES:
        msg = f"repository {shown!r}: only {', '.join(SCHEMES)} are allowed"
        raise GitRefusedError(msg)
    if not url.isprintable() or " " in url or "\\" in url:
        msg = f"repository {shown!r}: not a URL"
        raise GitRefusedError(msg)
    if parts.password or (parts.username and parts.scheme != "ssh"):
        msg = (
            f"repository at {parts.hostname}: a URL without login is expected"
        )
        raise GitRefusedError(msg)
    host = parts.netloc.rpartition("@")[2]
    is_named = host and not parts.netloc.startswith("-") and host[0] != "-"
    if bool(is_named) == (parts.scheme == "file") or len(parts.path) < 2:
        msg = f"repository {shown!r}: no host, or no path"
        raise GitRefusedError(msg)
    return parts


def check_ref(ref: str) -> str:
    """Return the name of a branch, a tag or a commit if it is one.

    Raises:
        GitRefusedError: Git would not take it, or take it for an option.
    """
    if (
        not _REF.fullmatch(ref)
        or len(ref) > 255
        or ".." in ref
        or "//" in ref
        or ref.endswith(("/", ".", ".lock"))
    ):
        msg = f"{ref[:80]!r} is not the name of a branch, a tag or a commit"
        raise GitRefusedError(msg)
    return ref


def is_match(path: str, glob: str) -> bool:
    """Say whether a path fits: ``*`` within a folder, ``**/`` over any."""
    return bool(_regex(glob).fullmatch(path))


def _regex(glob: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*/|\*|\?)", glob)
    meaning = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(p, re.escape(p)) for p in pieces))


def read_pointer(file: Path) -> Pointer | None:
    """Return what a file says if it is an LFS pointer, else ``None``.

    Raises:
        GitRefusedError: It begins as a pointer and does not go on as one.
    """
    with file.open("rb") as opened:
        content = opened.read(_LONGEST_POINTER + 1)
    if not content.startswith(_POINTER_START):
        return None
    found = _POINTER.fullmatch(content)
    if found is None:
        msg = "its LFS pointer is broken"
        raise GitRefusedError(msg)
    return Pointer(found[1].decode(), int(found[2]))


class Repository:
    """One commit of a remote repository; files come when asked for.

    Args:
        folder: Empty or missing; holds the clone. Whoever gives it, removes
            it.
        url: Where the repository is, see ``check_url``.
        ref: Branch, tag or commit.
        timeout: Seconds that one command of Git may take.
        say: Takes lines of progress.

    Raises:
        GitRefusedError: Something is wrong with URL or ref, or the ref is
            gone.
        GitUnavailableError: The repository can't be reached.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        ref: str,
        *,
        timeout: float = 3600.0,
        say: Say = lambda _: None,
    ) -> None:
        self.folder = folder
        self.url = url
        self._scheme = check_url(url).scheme
        self._ref = check_ref(ref)
        self._git = Git(folder, url, self._scheme, timeout)
        self._say = say
        self._prepare()
        self.commit = self._fetch()

    def entries(self, globs: Iterable[str]) -> list[Entry]:
        """Return the commit's files that match, by path.

        Raises:
            GitRefusedError: A glob matches nothing.
        """
        found = self._files_of(self.commit)
        chosen: set[Entry] = set()
        for glob in globs:
            matching = [e for e in found if is_match(e.path, glob)]
            if not matching:
                msg = f"no file of {self.url} at {self._ref} matches {glob}"
                raise GitRefusedError(msg)
            chosen.update(matching)
        return sorted(chosen, key=lambda entry: entry.path)

    def blobs_at(self, commit: str) -> dict[str, str]:
        """Return the content's name of each file of another commit, by path.

        Raises:
            GitRefusedError: That is no commit's name.
            GitUnavailableError: The repository does not have it, or can't
                be reached.
        """
        if not _COMMIT.fullmatch(commit):
            msg = f"{commit[:80]!r} is no commit"
            raise GitRefusedError(msg)
        if commit != self.commit:
            self._fetch_ref(commit)
        return {entry.path: entry.blob for entry in self._files_of(commit)}

    def checkout(self, entries: Sequence[Entry]) -> None:
        """Bring these files, pointers where Git LFS has the content."""
        patterns = "".join(f"/{_escaped(e.path)}\n" for e in entries)
        info = self.folder / ".git" / "info"
        (info / "sparse-checkout").write_text(patterns, encoding="utf-8")
        self._git("checkout", "--quiet", "--force", "--detach", self.commit)

    def path(self, entry: Entry) -> Path:
        """Return where a file is that was checked out.

        Raises:
            GitRefusedError: It is not there.
        """
        path = self.folder / entry.path
        if not path.is_file() or path.is_symlink():
            msg = f"{entry.path} did not come with the checkout"
            raise GitRefusedError(msg)
        return path

    def download(self, entry: Entry, pointer: Pointer, to: Path) -> None:
        """Write the LFS object of a file.

        Raises:
            GitRefusedError: What came is not what the pointer names.
            GitUnavailableError: The object did not come.
        """
        progress = self.folder / ".git" / "lfs-progress"
        progress.unlink(missing_ok=True)
        with self.path(entry).open("rb") as source, to.open("wb") as target:
            self._git.run(
                ["lfs", "smudge", "--", entry.path],
                stdin=source,
                stdout=target,
                more={"GIT_LFS_PROGRESS": str(progress)},
                watch=lambda: self._say(_progress(entry, pointer, progress)),
            )
        # It keeps a copy of its own.
        shutil.rmtree(self.folder / ".git" / "lfs", ignore_errors=True)
        with to.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != pointer.oid or to.stat().st_size != pointer.size:
            msg = f"{entry.path}: the LFS object is not what its pointer names"
            raise GitRefusedError(msg)

    def _files_of(self, commit: str) -> list[Entry]:
        out = self._git("ls-tree", "-r", "-z", "--full-tree", commit)
        lines = (line for line in out.split(b"\0") if line)
        return [entry for line in lines if (entry := _entry(line))]

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._git("init", "--quiet", "--template=", "--initial-branch=none")
        info = self.folder / ".git" / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text(_ATTRIBUTES, encoding="utf-8")
        self._git("remote", "add", "origin", self.url)
        # In the repository's own words it could point anywhere.
        self._git("config", "lfs.url", self._lfs_url())

    def _lfs_url(self) -> str:
        """Return where Git LFS looks by default for this remote."""
        if self._scheme != "https":
            return self.url
        return f"{self.url.rstrip('/').removesuffix('.git')}.git/info/lfs"

    def _fetch_ref(self, ref: str) -> None:
        self._git(
            "fetch",
            "--quiet",
            "--depth=1",
            "--no-tags",
            "--no-recurse-submodules",
            "--filter=blob:none",
            "--",
            "origin",
            ref,
        )

    def _fetch(self) -> str:
        try:
            self._fetch_ref(self._ref)
        except GitUnavailableError as error:
            if "couldn't find remote ref" in str(error):
                msg = f"{self._ref!r} is gone from {self.url}"
                raise GitRefusedError(msg) from error
            raise
        wanted = "FETCH_HEAD^{commit}"
        out = self._git("rev-parse", "--verify", "--end-of-options", wanted)
        commit = out.decode().strip()
        if not _COMMIT.fullmatch(commit):
            msg = f"{self.url}: git names no commit for {self._ref!r}"
            raise GitRefusedError(msg)
        return commit


def _entry(line: bytes) -> Entry | None:
    """Read a line of ``ls-tree``; ``None`` for what is not a file."""
    facts, _, path = line.partition(b"\t")
    mode, kind, blob = facts.decode().split()
    if mode not in _FILE_MODES or kind != "blob":
        return None
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return None
    return Entry(text, blob) if text.isprintable() else None


def _escaped(path: str) -> str:
    return _PATTERN_SIGNS.sub(r"\\\1", path)


def _progress(entry: Entry, pointer: Pointer, progress: Path) -> str:
    """Say how far a download is: ``download 1/1 BYTES/ALL NAME``."""
    try:
        last = progress.read_text(encoding="utf-8").splitlines()[-1]
        done = int(last.split()[2].partition("/")[0])
    except (OSError, ValueError, IndexError):
        done = 0
    mebibyte = 1024 * 1024
    return (
        f"{entry.path}: {done / mebibyte:.1f} of"
        f" {pointer.size / mebibyte:.1f} MiB"
    )
