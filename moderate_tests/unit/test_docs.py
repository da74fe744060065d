"""Pages that are made from the code, or name its parts, are current."""

import re
from importlib.resources import files
from pathlib import Path

import moderate
from moderate.commands.settings import describe_settings
from moderate.inbox.model import State
from moderate_tests.states import all_documented, documented

ROOT = Path(moderate.__file__).parents[1]
DOCS = ROOT / "docs"


def test_the_page_of_settings_is_current() -> None:
    """If not: ./scripts/task docs."""
    assert (DOCS / "settings.md").read_text() == describe_settings()


def test_the_diagram_shows_exactly_the_states_of_the_code() -> None:
    text = (DOCS / "architecture.md").read_text()
    section = text.split("## The states of a work item")[1].split("\n## ")[0]
    diagram = section.split("```")[1]
    words = set(re.findall(r"[a-z]+", diagram))
    assert {state.value for state in State} <= words
    listed = re.findall(r"\*\*([a-z]+)\*\*", section)
    assert set(listed) == {state.value for state in State}


def test_the_diagram_has_the_ways_that_the_table_has() -> None:
    """Its arrows, in words; those by hand are below it."""
    ways = all_documented()
    assert ("pending", "dispatched") in ways
    assert ("dispatched", "running") in ways
    for end in ("done", "dead", "cancelled"):
        assert ("running", end) in ways
    for held in ("dispatched", "running"):
        assert (held, "pending") in ways
    assert {state for way in ways for state in way} == {*State}
    assert not {way for way in ways if way[0] == State.DONE}, "done is done"


def test_the_table_of_changes_is_that_of_the_statements() -> None:
    """Each statement that sets a state says from which to which it does."""
    sql = files("moderate.inbox").joinpath("sql/queries.sql").read_text()
    found = {}
    for block in sql.split("-- name: ")[1:]:
        name, _, text = block.partition("\n")
        if re.search(r"UPDATE work_item\b", text) and (
            re.search(r"^ *(SET|,)? *state = ", text, re.MULTILINE)
        ):
            found[name] = changes_of(text)
    assert found == documented()


def changes_of(text: str) -> set[tuple[str, str]]:
    """Read ``-- a, b or c -> d`` in a statement's comment."""
    comment = text.partition("\n")[0].removeprefix("-- ")
    before, _, after = comment.partition(" -> ")
    if after.startswith("a tombstone"):
        assert "WHEN state = 'pending' THEN 'cancelled' ELSE state" in text
        return {("pending", "cancelled")}
    targets = leading_states(after)
    assert targets, f"no states: {comment}"
    return {
        (was, now)
        for was in leading_states(before)
        for now in targets
        if was != now
    }


def leading_states(text: str) -> list[str]:
    """Return the states that a text begins with."""
    names = "|".join(State)
    found = re.match(rf"(?:(?:{names})(?:, | or |\b))+", text)
    return re.findall(names, found[0]) if found else []


def test_every_file_that_the_readme_links_to_exists() -> None:
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_test_that_a_page_names_exists() -> None:
    tests = ROOT / "moderate_tests"
    known = {
        name
        for file in tests.rglob("test_*.py")
        for name in re.findall(
            r"^def (test_\w+)", file.read_text(), re.MULTILINE
        )
    }
    files = {file.stem for file in tests.rglob("test_*.py")}
    for page in (ROOT / "README.md", *DOCS.rglob("*.md")):
        named = set(re.findall(r"`(test_\w+)`", page.read_text()))
        assert named - files <= known, page.name
