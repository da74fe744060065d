"""The inbox's own source keeps to its rules: statements, clock, layers."""

import ast
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from moderate import inbox
from moderate.inbox.queries import statement, statements

FOLDER = Path(str(files(inbox)))
SOURCES = sorted(FOLDER.rglob("*.py"))
RUNNERS = {"fetch", "fetch_one", "run"}

# Every way by which Python could tell the time, or a wait could be timed.
CLOCKS = re.compile(
    r"datetime\.(now|utcnow|today)|date\.today|time\.(time|monotonic)"
    r"|perf_counter|^import time|^from time|\bsleep\(|utcnow",
    re.MULTILINE,
)
TRANSACTION_CLOCKS = re.compile(
    r"\bnow\(\)|\bcurrent_(timestamp|date|time)\b|\blocaltime(stamp)?\b"
    r"|\b(transaction|statement)_timestamp\b|'now'",
    re.IGNORECASE,
)


def calls(path: Path) -> Iterator[ast.Call]:
    """Yield the calls of named statements in a source file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or len(node.args) < 2:
            continue
        if isinstance(node.func, ast.Name) and node.func.id in RUNNERS:
            yield node


ALL_CALLS = [call for path in SOURCES for call in calls(path)]


def name_of(call: ast.Call) -> str:
    name = call.args[1]
    assert isinstance(name, ast.Constant), "a statement's name is a literal"
    return str(name.value)


def parameters_of(name: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", statement(name).as_string()))


def test_every_statement_is_used_and_every_name_used_exists() -> None:
    used = {name_of(call) for call in ALL_CALLS}
    assert used == set(statements())


@pytest.mark.parametrize("call", ALL_CALLS, ids=name_of)
def test_a_call_gives_what_its_statement_needs_and_no_more(
    call: ast.Call,
) -> None:
    given = {word.arg for word in call.keywords if word.arg}
    if any(word.arg is None for word in call.keywords):
        given |= {"batch_id", "run_id"}  # the fence's guard
    assert given == parameters_of(name_of(call))


@pytest.mark.parametrize("name", statements())
def test_a_statement_says_what_it_is_for(name: str) -> None:
    assert statement(name).as_string().startswith("-- ")


def test_a_statement_of_another_name_is_refused() -> None:
    with pytest.raises(KeyError):
        statement("drop_everything")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_python_never_tells_the_time(path: Path) -> None:
    """Rule 12: due times, grace and heartbeats are Postgres' alone."""
    assert CLOCKS.findall(path.read_text()) == []


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("*.sql")), ids=lambda path: path.stem
)
def test_sql_reads_the_clock_of_the_moment(path: Path) -> None:
    """Rule 12: now() stands still while a transaction waits for a lock."""
    text = path.read_text()
    assert TRANSACTION_CLOCKS.findall(text) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_python_formats_nothing_into_sql(path: Path) -> None:
    """What comes from outside reaches Postgres as a parameter."""
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "execute"
        ):
            assert not isinstance(node.args[0], ast.JoinedStr | ast.BinOp)


@pytest.mark.parametrize(
    "text",
    [
        "datetime.now(UTC)",
        "x = time.time()",
        "import time\n",
        "sleep(1)",
        "date.today()",
    ],
)
def test_the_search_for_clocks_finds_them(text: str) -> None:
    assert CLOCKS.search(text)


@pytest.mark.parametrize(
    "text", ["now()", "CURRENT_TIMESTAMP", "statement_timestamp()", "'now'"]
)
def test_the_search_for_transaction_clocks_finds_them(text: str) -> None:
    assert TRANSACTION_CLOCKS.search(f"DEFAULT {text}")
    assert not TRANSACTION_CLOCKS.search("DEFAULT clock_timestamp()")
