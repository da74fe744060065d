"""A repository is not trusted, and gives single files."""

import hashlib
from pathlib import Path

import pytest

from moderate.clients import git_command
from moderate.clients.git import (
    Entry,
    Pointer,
    Repository,
    check_ref,
    check_url,
    is_match,
    read_pointer,
)
from moderate.clients.git_command import GitRefusedError, GitUnavailableError
from moderate.local import install
from moderate_tests.conftest import require
from moderate_tests.integration.flows.git_origin import Origin

BIG = b"a,b\n" + b"1,2\n" * 10_000
OID = hashlib.sha256(BIG).hexdigest()


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    require(install.GIT_LFS)
    return Origin(tmp_path / "git")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.git",
        "https://example.org:8443/a.git",
        "ssh://git@example.org/a.git",
        "file:///srv/git/a.git",
    ],
)
def test_a_repository_may_be_behind_these_urls(url: str) -> None:
    assert check_url(url).path


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.git",
        "git://example.org/a.git",
        "ext::sh -c 'touch /tmp/x'",
        "git@example.org:a.git",
        "/srv/git/a.git",
        "--upload-pack=touch",
        "https://-oProxyCommand=x/a.git",
        "ssh://-oProxyCommand=x/a.git",
        "ssh://git@-oProxyCommand=x/a.git",
        "https://example.org/a\n.git",
        "https://example.org",
        "file://host/srv/a.git",
        "https://[/a.git",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(GitRefusedError):
        check_url(url)


def test_a_login_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(GitRefusedError) as caught:
        check_url("https://user:canary-password@example.org/a.git")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("ref", ["main", "v1.0", "feature/x", "a" * 40])
def test_branches_tags_and_commits_are_refs(ref: str) -> None:
    assert check_ref(ref) == ref


@pytest.mark.parametrize(
    "ref", ["", "-x", "--upload-pack=id", "a b", "a..b", "a:b", "+a", "a^{}"]
)
def test_what_git_could_take_for_something_else_is_no_ref(ref: str) -> None:
    with pytest.raises(GitRefusedError):
        check_ref(ref)


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("data/*.csv", "data/a.csv", True),
        ("data/*.csv", "data/x/a.csv", False),
        ("data/**/*.csv", "data/a.csv", True),
        ("data/**/*.csv", "data/x/y/a.csv", True),
        ("data/**/*.csv", "other/a.csv", False),
        ("data/*.csv", "data/a.csv.txt", False),
        ("a[1].csv", "a[1].csv", True),
        ("a?.csv", "ab.csv", True),
    ],
)
def test_globs_are_within_a_folder_or_over_any(
    glob: str, path: str, *, fits: bool
) -> None:
    assert is_match(path, glob) is fits


def test_only_what_is_wanted_is_fetched(
    origin: Origin, tmp_path: Path
) -> None:
    origin.commit(
        {
            "data/x y/one [1].csv": "a\n1\n",
            "data/two.csv": "a\n2\n",
            "data/big.lfs.csv": BIG,
            "data/other.lfs.csv": BIG + b"3,4\n",
        }
    )
    repository = Repository(tmp_path / "clone", origin.url, "main")
    big, _, _, one = repository.entries(["data/**/*.csv"])
    assert [big.path, one.path] == ["data/big.lfs.csv", "data/x y/one [1].csv"]
    repository.checkout([big, one])
    found = list((tmp_path / "clone" / "data").rglob("*.csv"))
    assert sorted(map(str, found)) == sorted(
        str(repository.path(each)) for each in (big, one)
    )
    assert repository.path(one).read_text() == "a\n1\n"
    pointer = read_pointer(repository.path(big))
    assert pointer == Pointer(OID, len(BIG))
    repository.download(big, pointer, tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == BIG
    missing = repository._git(
        "rev-list", "--objects", "--all", "--missing=print"
    )
    assert missing.count(b"?") == 2, "the others' contents did not come"


def test_an_object_that_is_not_what_was_asked_for_is_refused(
    origin: Origin, tmp_path: Path
) -> None:
    origin.commit({"a.lfs.csv": BIG})
    repository = Repository(tmp_path / "clone", origin.url, "main")
    (entry,) = repository.entries(["*.csv"])
    repository.checkout([entry])
    for pointer in (Pointer("0" * 64, len(BIG)), Pointer(OID, 7)):
        with pytest.raises(GitRefusedError, match="not what its pointer"):
            repository.download(entry, pointer, tmp_path / "a")


def test_a_repository_does_not_say_where_its_objects_are(
    origin: Origin, tmp_path: Path
) -> None:
    """``.lfsconfig`` could send us to any host of our own network."""
    origin.commit({"a.lfs.csv": BIG})
    origin.commit({".lfsconfig": "[lfs]\n\turl = http://169.254.0.1/\n"})
    repository = Repository(tmp_path / "clone", origin.url, "main")
    (entry,) = repository.entries(["*.csv"])
    lfsconfig = Entry(".lfsconfig", "")
    repository.checkout([entry, lfsconfig])
    pointer = read_pointer(repository.path(entry))
    assert pointer
    repository.download(entry, pointer, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BIG


def test_attributes_and_links_of_a_repository_do_nothing(
    origin: Origin, tmp_path: Path
) -> None:
    origin.link("link.csv", "/etc/passwd")
    origin.commit(
        {
            "a.csv": "a\n$Id$\n",
            ".gitattributes": "*.csv ident text eol=crlf filter=evil\n",
        }
    )
    repository = Repository(tmp_path / "clone", origin.url, "main")
    (entry,) = repository.entries(["*.csv"])
    assert entry.path == "a.csv"
    repository.checkout([entry])
    assert repository.path(entry).read_bytes() == b"a\n$Id$\n"


def test_git_sees_nothing_of_our_environment(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_PASSWORD", "canary")
    origin.commit({"a.csv": "a\n1\n"})
    repository = Repository(tmp_path / "clone", origin.url, "main")
    shown = repository._git("-c", "alias.env=!env", "env")
    assert b"canary" not in shown
    assert b"PATH=" in shown


def test_what_takes_too_long_is_ended(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.commit({"a.csv": "a\n1\n"})
    repository = Repository(tmp_path / "clone", origin.url, "main")
    monkeypatch.setattr(git_command, "PROGRESS_SECONDS", 0.05)
    monkeypatch.setattr(repository._git, "_timeout", 0.2)
    with pytest.raises(GitUnavailableError, match=r"over 0\.2 s"):
        repository._git("-c", "alias.wait=!sleep 60", "wait")


def test_a_pointer_is_read_strictly(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a,b\n1,2\n")
    assert read_pointer(file) is None
    head = "version https://git-lfs.github.com/spec/v1\n"
    for rest in ("", "oid sha256:xyz\nsize 1\n", f"oid sha256:{'0' * 64}\n"):
        file.write_text(head + rest)
        with pytest.raises(GitRefusedError, match="pointer is broken"):
            read_pointer(file)
