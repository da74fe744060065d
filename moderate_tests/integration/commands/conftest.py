"""The command as a person types it, in this process."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from uuid import uuid4

import pytest

from moderate.cli import main
from moderate.inbox.database import pool_of
from moderate.inbox.model import NewItem
from moderate.inbox.store import Inbox
from moderate.local.services.postgres import Postgres
from moderate.resources import inbox_address
from moderate.settings import load_settings


@dataclass(frozen=True)
class Said:
    """What a command wrote, and its exit code."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def settings(
    postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """An environment that knows nothing but a database of its own."""
    database = f"commands_{uuid4().hex}"
    given = {
        "PATH": os.environ["PATH"],
        "COLUMNS": "200",
        **postgres_server.client_environment(),
        "INBOX_DATABASE": database,
    }
    with monkeypatch.context() as patch:
        for name in list(os.environ):
            patch.delenv(name)
        for name, value in given.items():
            patch.setenv(name, value)
        yield given
    postgres_server.drop_database(database)


@pytest.fixture
def moderate(
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Run ``moderate`` with arguments, and what is typed when it asks."""

    def run(*arguments: str, typed: str = "") -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["moderate", *arguments])
        monkeypatch.setattr(sys, "stdin", StringIO(typed))
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Said(code, captured.out, captured.err)

    return run


@pytest.fixture
def inbox(settings: dict[str, str], moderate: Command) -> Iterator[Inbox]:
    """A migrated inbox, as the command sees it."""
    from moderate.definitions import all_kinds  # noqa: PLC0415

    assert moderate("inbox", "migrate").code == 0
    loaded = load_settings()
    store = Inbox(inbox_address(loaded), all_kinds(loaded))
    yield store
    pool_of(store.where).close()


def record(store: Inbox, *items: NewItem) -> None:
    """Store items."""
    with store.transaction() as conn:
        store.record(conn, items)


def change(store: Inbox, text: str) -> None:
    """Change rows by SQL."""
    with store.transaction() as conn:
        conn.execute(text.encode())
