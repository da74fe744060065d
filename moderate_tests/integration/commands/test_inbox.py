"""Look at work items, retry and drop them by hand."""

import getpass
import json
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest

from moderate.commands.inbox import IN_A_POD
from moderate.inbox.model import NewItem, State
from moderate.inbox.store import Inbox
from moderate_tests.integration.commands.conftest import (
    Command,
    change,
    record,
)
from moderate_tests.ports import CLOSED_PORT

pytestmark = pytest.mark.services

KIND = "matrix_profile"
PASSWORD = "canary-password"
BECAUSE = ("--why", "a test")


@pytest.fixture(autouse=True)
def _not_in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(IN_A_POD, raising=False)
    monkeypatch.delenv("MODERATE_WHO", raising=False)


def an_item(key: str, **more: Any) -> NewItem:
    return NewItem(KIND, key, {"workflow_job_id": int(key)}, **more)


def a_dead_item(key: str, error: str = "the column is empty") -> NewItem:
    return an_item(
        key, state=State.DEAD, error=error, outcome={"error": error}
    )


def listed(moderate: Command, *options: str) -> Sequence[dict[str, Any]]:
    said = moderate("inbox", "ls", "--json", *options)
    assert said.code == 0, said.err
    found: list[dict[str, Any]] = json.loads(said.out)
    return found


def shown(moderate: Command, item_id: int) -> dict[str, Any]:
    said = moderate("inbox", "show", str(item_id), "--json")
    found: dict[str, Any] = json.loads(said.out)
    return found


def test_a_migration_says_what_it_did_and_may_be_repeated(
    moderate: Command,
) -> None:
    first = moderate("inbox", "migrate")
    assert first.code == 0
    assert "applied 0001_inbox.sql" in first.out
    second = moderate("inbox", "migrate")
    assert second.out == "the inbox's schema is up to date\n"


def test_a_schema_that_is_missing_names_the_command_that_makes_it(
    moderate: Command,
) -> None:
    moderate("inbox", "migrate")
    said = moderate("inbox", "ls")
    assert said.code == 0
    # Another database of the same server, with no schema in it.
    said = with_setting(moderate, "INBOX_DATABASE", "postgres")
    assert said.code == 1
    assert said.err.startswith("moderate: the inbox's schema is at version 0")
    assert "moderate inbox migrate" in said.err


def with_setting(moderate: Command, name: str, value: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        return moderate("inbox", "ls")


def test_items_are_listed_by_kind_and_state(
    moderate: Command, inbox: Inbox
) -> None:
    record(inbox, an_item("1"), a_dead_item("2"), NewItem("other", "3"))
    assert {row["key"] for row in listed(moderate)} == {"1", "2", "3", "2/0"}
    (dead,) = listed(moderate, "--state", "dead", "--kind", KIND)
    assert dead["key"] == "2"
    assert dead["last_error"] == "the column is empty"
    assert len(listed(moderate, "--limit", "1")) == 1


def test_the_table_shows_only_what_was_asked_for(
    moderate: Command, inbox: Inbox
) -> None:
    record(inbox, an_item("71"), a_dead_item("72"), NewItem("other", "73"))
    dead = moderate("inbox", "ls", "--state", "dead").out
    assert rows_of(dead) == ["72"]
    ours = moderate("inbox", "ls", "--kind", KIND).out
    assert rows_of(ours) == ["72", "71"], "the latest change first"
    none = moderate("inbox", "ls", "--kind", "no-such-kind")
    assert none.code == 0
    assert rows_of(none.out) == []
    assert listed(moderate, "--kind", "no-such-kind") == []


def rows_of(table: str) -> list[str]:
    """Return the keys of a printed table's rows."""
    cells = [line.split("│") for line in table.splitlines()]
    return [row[3].strip() for row in cells if len(row) > 3]


def test_the_table_counts_and_shows_errors_as_they_are(
    moderate: Command, inbox: Inbox
) -> None:
    """An error is no markup, and can't write to the terminal."""
    error = "columns are [time, value] [/] \x1b[31mred\x9b"
    record(inbox, a_dead_item("2", error))
    said = moderate("inbox", "ls")
    assert said.code == 0
    assert r"columns are [time, value] [/] \x1b[31mred\x9b" in said.out
    assert "\x1b[31m" not in said.out
    assert "matrix_profile: 1 dead" in said.out
    said = moderate("inbox", "show", "1")
    assert said.code == 0
    assert r"columns are [time, value] [/] \x1b[31mred\x9b" in said.out


def test_an_item_is_shown_whole(moderate: Command, inbox: Inbox) -> None:
    record(inbox, a_dead_item("7"))
    facts = shown(moderate, 1)
    assert facts["payload"] == {"workflow_job_id": 7}
    assert facts["outcome"] == {"error": "the column is empty"}
    assert facts["state"] == "dead"
    assert facts["audit"] == []
    table = moderate("inbox", "show", "1")
    assert table.code == 0
    assert "the column is empty" in table.out


def test_a_retry_resets_failures_and_is_kept_with_its_reason(
    moderate: Command, inbox: Inbox
) -> None:
    """The number of dispatches goes on: run keys are made of it."""
    record(inbox, a_dead_item("7"))
    change(inbox, "UPDATE work_item SET failures = 4, dispatch = 5")
    said = moderate("inbox", "retry", "1", "--why", "the image is mended")
    assert said.code == 0
    assert said.out == "1 item(s) are due again\n"
    facts = shown(moderate, 1)
    assert (facts["state"], facts["failures"]) == ("pending", 0)
    assert facts["dispatch"] == 5
    (audit,) = facts["audit"]
    assert audit["action"] == "retry"
    assert audit["why"] == "the image is mended"
    assert audit["who"] == getpass.getuser()


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_an_item_at_work_is_left_to_its_run(
    moderate: Command, inbox: Inbox, command: str
) -> None:
    record(inbox, an_item("7"))
    inbox.dispatch([KIND])
    before = shown(moderate, 1)
    assert before["state"] == "dispatched"
    options = ("--yes",) if command == "drop" else ()
    said = moderate("inbox", command, "1", *BECAUSE, *options)
    assert said.code == 1
    assert said.err.startswith("Error: item 1 can't be ")
    assert "moderate inbox show 1" in said.err
    assert shown(moderate, 1) == before


def test_a_retry_of_several_is_all_or_nothing(
    moderate: Command, inbox: Inbox
) -> None:
    record(inbox, a_dead_item("7"), a_dead_item("8"))
    said = moderate("inbox", "retry", "1", "2", "999", *BECAUSE)
    assert said.code == 1
    assert "item 999 can't be retried" in said.err
    assert "nothing was changed" in said.err
    assert shown(moderate, 1)["state"] == "dead"


def test_a_drop_asks_first(moderate: Command, inbox: Inbox) -> None:
    record(inbox, an_item("7"))
    said = moderate("inbox", "drop", "1", *BECAUSE, typed="n\n")
    assert said.code == 1
    assert shown(moderate, 1)["state"] == "pending"
    said = moderate("inbox", "drop", "1", *BECAUSE, typed="")
    assert said.code == 1, "nobody there to ask"
    said = moderate("inbox", "drop", "1", *BECAUSE, typed="y\n")
    assert said.code == 0
    assert shown(moderate, 1)["state"] == "cancelled"


def test_a_dropped_item_leaves_a_tombstone_and_its_word(
    moderate: Command, inbox: Inbox
) -> None:
    record(inbox, an_item("7"))
    assert moderate("inbox", "drop", "1", *BECAUSE, "--yes").code == 0
    assert [row["kind"] for row in listed(moderate)] == ["platform_job_result"]
    assert len(listed(moderate, "--dropped")) == 2
    facts = shown(moderate, 1)
    assert facts["payload"] == {}
    assert facts["key"] == "7"
    assert moderate("inbox", "drop", "1", *BECAUSE, "--yes").code == 1
    record(inbox, an_item("7"))
    assert shown(moderate, 1) == facts, "the same event is the same row"
    assert len(listed(moderate, "--dropped")) == 2


def test_a_cursor_is_forgotten_by_name(
    moderate: Command, inbox: Inbox
) -> None:
    name = "matrix_profile.reconcile"
    with inbox.transaction() as conn:
        conn.execute(
            "INSERT INTO cursor (name, value) VALUES (%s, '{}')", [name]
        )
    assert moderate("inbox", "forget-cursor", name, typed="n\n").code == 1
    assert moderate("inbox", "forget-cursor", name, "--yes").code == 0
    said = moderate("inbox", "forget-cursor", name, "--yes")
    assert said.code == 1
    assert f"there is no cursor {name}" in said.err


def test_a_forgotten_cursor_is_in_the_audit(
    moderate: Command, inbox: Inbox
) -> None:
    """All is read again from the start: somebody will ask who wanted it."""
    record(inbox, a_dead_item("7"))
    moderate("inbox", "retry", "1", "--who", "Anna", "--why", "mended")
    with inbox.transaction() as conn:
        conn.execute("INSERT INTO cursor (name, value) VALUES ('x', '{}')")
    said = moderate(
        *("inbox", "forget-cursor", "x", "--yes"),
        *("--who", "Ben", "--why", "users were missed"),
    )
    assert said.code == 0
    told = json.loads(moderate("inbox", "audit", "--json").out)
    deeds = [(d["cursor"], d["item_id"], d["action"], d["who"]) for d in told]
    assert deeds == [
        ("x", None, "forget", "Ben"),
        (None, 1, "retry", "Anna"),
    ]
    table = moderate("inbox", "audit").out
    assert "cursor x" in table
    assert "users were missed" in table


@pytest.mark.parametrize("command", ["retry", "drop"])
@pytest.mark.parametrize("why", [(), ("--why", " ")])
def test_nothing_is_done_without_a_reason(
    moderate: Command, inbox: Inbox, command: str, why: Sequence[str]
) -> None:
    record(inbox, a_dead_item("7"))
    said = moderate("inbox", command, "1", *why)
    assert said.code == 2
    assert "--why" in said.err
    assert shown(moderate, 1)["audit"] == []


def test_in_a_pod_a_person_has_to_be_named(
    moderate: Command, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account there is everybody's."""
    record(inbox, a_dead_item("7"))
    monkeypatch.setenv(IN_A_POD, "10.0.0.1")
    said = moderate("inbox", "retry", "1", *BECAUSE)
    assert said.code == 2
    assert "MODERATE_WHO" in said.err
    monkeypatch.setenv("MODERATE_WHO", "Anna")
    assert moderate("inbox", "retry", "1", *BECAUSE).code == 0
    (audit,) = shown(moderate, 1)["audit"]
    assert audit["who"] == "Anna"


def test_who_has_no_name_is_known_by_number(
    moderate: Command, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may run as a user that no file knows."""
    record(inbox, a_dead_item("7"))

    def unknown() -> NoReturn:
        message = "getpwuid(): uid not found: 10001"
        raise KeyError(message)

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert moderate("inbox", "retry", "1", *BECAUSE).code == 0
    (audit,) = shown(moderate, 1)["audit"]
    assert audit["who"].startswith("uid ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls", "--limit", "-1"),
        ("ls", "--state", "lost"),
        ("show", "x"),
        ("retry",),
    ],
)
def test_wrong_arguments_are_explained(
    moderate: Command, inbox: Inbox, arguments: Sequence[str]
) -> None:
    said = moderate("inbox", *arguments)
    assert said.code == 2
    assert said.err.startswith("Usage: ")
    assert f"moderate inbox {arguments[0]}" in said.err


def test_an_item_that_is_not_there_is_said_so(
    moderate: Command, inbox: Inbox
) -> None:
    beyond_bigint = "99999999999999999999"
    for item_id in ("999", beyond_bigint):
        said = moderate("inbox", "show", item_id)
        assert said.code == 1
        assert said.err == f"Error: there is no item {item_id}\n"


def test_a_drop_of_several_is_all_or_nothing(
    moderate: Command, inbox: Inbox
) -> None:
    record(inbox, an_item("7"))
    said = moderate("inbox", "drop", "1", "999", *BECAUSE, typed="y\n")
    assert said.code == 1
    assert "Drop 2 item(s) for good? [y/N]" in said.out
    assert "item 999 can't be dropped: it does not exist" in said.err
    assert "nothing was changed" in said.err
    assert shown(moderate, 1)["state"] == "pending"


@pytest.mark.parametrize(
    "command",
    [
        "ls",
        "show 1",
        "retry 1 --why x",
        "drop 1 --why x --yes",
        "audit",
        "migrate",
    ],
)
@pytest.mark.parametrize(
    ("variable", "value"),
    [("POSTGRES_PORT", str(CLOSED_PORT)), ("POSTGRES_PASSWORD", PASSWORD)],
    ids=["port", "password"],
)
def test_a_database_that_cant_be_used_is_one_line_without_a_secret(
    moderate: Command,
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    variable: str,
    value: str,
) -> None:
    from moderate.inbox import database  # noqa: PLC0415

    monkeypatch.setattr(database, "POOL_WAIT", database.CONNECT_TIMEOUT / 10)
    monkeypatch.setenv(variable, value)
    said = moderate("inbox", *command.split())
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith("moderate: the inbox")
    assert settings["POSTGRES_PASSWORD"] not in said.err
    assert PASSWORD not in said.err


def test_missing_settings_are_named(
    moderate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("POSTGRES_HOST", "POSTGRES_USERNAME", "POSTGRES_PASSWORD"):
        monkeypatch.delenv(name)
    said = moderate("inbox", "ls")
    assert said.code == 1
    assert said.err == (
        "moderate: Postgres is not set up: set POSTGRES_HOST,"
        " POSTGRES_USERNAME, POSTGRES_PASSWORD\n"
    )
