"""What a session says at its end: the lines that tests add, and the count.

A session of its own, as the count is taken from where hypothesis leaves it:
an upgrade that leaves it elsewhere must be noticed.
"""

import os
import re
import subprocess
import sys

import pytest

from moderate_tests.unit.deploy.files import ROOT

TESTS = """
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=20)
@given(st.integers())
def test_fuzz_of_a_parser(number):
    assert number == int(str(number))


@settings(max_examples=20)
@given(st.integers())
def test_rule_that_is_broken(number):
    assert number != 0


def test_says(summary):
    summary("canaries: 0 hits")
"""


PLUGINS = (
    "moderate_tests.conftest",
    "no:cacheprovider",
    # As in our own settings: they import a lot.
    "no:pytest_openmetadata",
    "no:schemathesis",
)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The output of a session in a worker of pytest-xdist, as in CI."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "test_it.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    plugins = [f"-p{each}" for each in PLUGINS]
    kept = {n: v for n, v in os.environ.items() if not n.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-n", "1"],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", ["fuzz", "properties"])
def test_the_inputs_that_hypothesis_tried_are_counted(
    said: list[str], kind: str
) -> None:
    """Of tests that fail, too."""
    count = re.compile(rf"{kind}: 1 tests tried [1-9]\d* inputs")

    assert len([line for line in said if count.fullmatch(line)]) == 1


def test_a_line_that_a_test_adds_is_said_once(said: list[str]) -> None:
    assert said.count("canaries: 0 hits") == 1
