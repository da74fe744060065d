"""Files come over https too, as from the hosts that are in the table."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from moderate.clients.git import Entry, Pointer, Repository, read_pointer
from moderate.clients.git_command import GitUnavailableError
from moderate.local import install
from moderate_tests.conftest import require
from moderate_tests.integration.flows.git_origin import Origin
from moderate_tests.integration.flows.git_server import (
    GitServer,
    serving,
)

BIG = b"a,b\n" + b"1,2\n" * 100_000
OID = hashlib.sha256(BIG).hexdigest()


@pytest.fixture
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GitServer]:
    require(install.GIT_LFS)
    origin = Origin(tmp_path / "git")
    origin.commit(
        {
            "plain.csv": "a\n1\n",
            "big.lfs.csv": BIG,
            "other.lfs.csv": BIG + b"3,4\n",
        }
    )
    with serving(origin, tmp_path) as running:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(running.authority))
        yield running


def cloned(server: GitServer, folder: Path) -> tuple[Repository, list[Entry]]:
    repository = Repository(folder / "clone", server.url, "main")
    entries = repository.entries(["big.lfs.csv", "plain.csv"])
    repository.checkout(entries)
    return repository, entries


def test_only_wanted_objects_come_from_the_lfs_server(
    server: GitServer, tmp_path: Path
) -> None:
    repository, (big, plain) = cloned(server, tmp_path)
    assert repository.path(plain).read_text() == "a\n1\n"
    assert not (repository.folder / "other.lfs.csv").exists()
    pointer = read_pointer(repository.path(big))
    assert pointer == Pointer(OID, len(BIG))
    assert server.downloads == []
    repository.download(big, pointer, tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == BIG
    assert server.downloads == [OID]


def test_a_download_that_is_cut_off_is_tried_again(
    server: GitServer, tmp_path: Path
) -> None:
    server.cut_off = 1
    repository, (big, _) = cloned(server, tmp_path)
    repository.download(big, Pointer(OID, len(BIG)), tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == BIG
    assert len(server.downloads) == 2


def test_an_object_of_other_bytes_is_refused(
    server: GitServer, tmp_path: Path
) -> None:
    server.other_bytes = True
    repository, (big, _) = cloned(server, tmp_path)
    with pytest.raises(GitUnavailableError, match="git lfs of"):
        repository.download(big, Pointer(OID, len(BIG)), tmp_path / "big")


def test_an_object_that_the_server_has_lost_says_so(
    server: GitServer, tmp_path: Path
) -> None:
    server.object_file(OID).unlink()
    repository, (big, _) = cloned(server, tmp_path)
    with pytest.raises(GitUnavailableError, match="does not exist"):
        repository.download(big, Pointer(OID, len(BIG)), tmp_path / "big")


def test_a_server_that_nobody_vouches_for_is_not_asked(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT_SSL_CAINFO")
    with pytest.raises(GitUnavailableError, match="certificate"):
        Repository(tmp_path / "clone", server.url, "main")
