"""The emulator answers as the recorded server did, exchange by exchange."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from moderate.local.services.open_metadata import OpenMetadata
from moderate_tests.contract.open_metadata.conftest import connect
from moderate_tests.contract.open_metadata.recording import (
    FOLDER,
    differences,
    read,
)
from moderate_tests.contract.open_metadata.replay import prepare, replay

# In the order in which they were recorded; each goes on where one before it
# ended.
NAMES = ("errors", "postgres", "datalake", "postgres-changed")
ROOT = Path(__file__).parents[3]
COMPLETE = Path(
    os.environ.get("MODERATE_RECORDINGS", ROOT.parent / "shared/contract")
)


@pytest.fixture
def stranger(emulator: OpenMetadata) -> Iterator[httpx.Client]:
    """A client whose tokens are those of the recording."""
    with connect(emulator.url) as client:
        yield client


@pytest.fixture
def bot(emulator: OpenMetadata) -> Iterator[httpx.Client]:
    """A client with the bot's token."""
    with connect(emulator.url, emulator.token) as client:
        yield client


def test_a_part_of_the_recordings_is_answered_as_it_was(
    emulator: OpenMetadata, bot: httpx.Client, stranger: httpx.Client
) -> None:
    """Small enough to be carried along; names are made up."""
    prepare(bot, "contract_errors")
    for name in NAMES:
        exchanges = read(FOLDER / f"{name}.jsonl")
        assert exchanges
        told = list(replay(stranger, emulator.token, exchanges))
        assert not told, f"{name}:\n" + "\n".join(told)


@pytest.mark.skipif(
    not (COMPLETE / "openmetadata.errors.jsonl").exists(),
    reason="no complete recordings; MODERATE_RECORDINGS names their folder",
)
def test_complete_recordings_are_answered_as_they_were(
    emulator: OpenMetadata, bot: httpx.Client, stranger: httpx.Client
) -> None:
    """All there is, where it is at hand."""
    prepare(bot, "shop_pg")
    for name in NAMES:
        exchanges = read(COMPLETE / f"openmetadata.{name}.jsonl")
        told = list(replay(stranger, emulator.token, exchanges))
        assert not told, f"{name}:\n" + "\n".join(told)


@pytest.mark.parametrize(
    ("told", "expected", "difference"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, ".b is missing"),
        ({"a": 1, "b": 2}, {"a": 1}, ".b is too much"),
        ({"a": "1"}, {"a": 1}, ".a is a str: '1'"),
        ({"a": [1]}, {"a": [1, 2]}, ".a has 1 entries, not 2"),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, ".a[0].b is 1, not 2"),
        ({"a": None}, {"a": {}}, ".a is a NoneType: None"),
    ],
)
def test_what_differs_is_told(
    told: Any, expected: Any, difference: str
) -> None:
    """A comparison that sees nothing would make the replays worthless."""
    assert list(differences(told, expected, {})) == [difference]


def test_what_every_server_makes_up_anew_is_no_difference() -> None:
    """The ids that it has here are remembered for later requests."""
    ids: dict[str, str] = {}
    told = {"id": "b", "updatedAt": 2, "message": "line: 1, column: 2"}
    expected = {"id": "a", "updatedAt": 1, "message": "line: 3, column: 4"}

    assert list(differences(told, expected, ids)) == []
    assert ids == {"a": "b"}
