"""Pages that are made from the code, or name its parts, are current."""

import re
from pathlib import Path

import moderate
from moderate.commands.settings import describe_settings
from moderate.inbox.model import State

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


def test_every_file_that_the_readme_links_to_exists() -> None:
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
