"""What Dagster keeps to itself is touched where the docs say so."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FASTPATH = ROOT / "moderate" / "fastpath"
PAGE = (ROOT / "docs" / "fast-path.md").read_text()
ROWS = {
    match[1]: match[0]
    for match in re.finditer(
        r"^\| `fastpath/(\w+)\.py` \|.*$", PAGE, re.MULTILINE
    )
}


def private_imports(file: Path) -> set[str]:
    """Return the modules of Dagster's own that a file imports."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return {
        node.module
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        and node.module
        and node.module.startswith("dagster._")
    }


@pytest.mark.parametrize(
    "file", sorted(FASTPATH.glob("*.py")), ids=lambda file: file.stem
)
def test_each_use_is_listed_and_nothing_else_is(file: Path) -> None:
    """So that an upgrade tells, and people know where to look."""
    listed = set(re.findall(r"`(dagster\._[\w.]+)`", ROWS.get(file.stem, "")))
    assert private_imports(file) == listed


def test_each_use_names_the_tests_that_tell() -> None:
    assert ROWS
    for row in ROWS.values():
        tests = re.findall(r"`(test_\w+\.py)`", row)
        assert tests
        for test in tests:
            folder = ROOT / "moderate_tests" / "integration" / "fastpath"
            assert (folder / test).exists(), test
