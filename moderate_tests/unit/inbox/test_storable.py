"""What Postgres can't hold is kept, dead and escaped."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.inbox.model import NewItem, State
from moderate.inbox.storable import (
    MAX_ITEM_BYTES,
    MAX_KEY_BYTES,
    UNSTORABLE,
    clean,
    clean_text,
    storable,
    storable_key,
)

SAFE = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
ANY_TEXT = st.text(st.characters())  # lone surrogates included


def documents(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | text | st.floats()
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4)
        | st.dictionaries(text, inner, max_size=4),
        max_leaves=10,
    )


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@given(SAFE, documents(SAFE), SAFE)
def test_what_postgres_can_hold_is_left_as_it_is(
    key: str, value: Any, error: str
) -> None:
    item = NewItem("kind", key[:100], {"v": clean(value)}, error=error)
    assert storable(item) is item


@given(documents(ANY_TEXT))
def test_what_was_cleaned_is_standard_json_without_nul_or_surrogates(
    value: Any,
) -> None:
    text = json.dumps(clean(value), ensure_ascii=False, allow_nan=False)
    assert "\0" not in json.dumps(text.encode().decode())
    assert clean(clean(value)) == clean(value)


@given(ANY_TEXT)
def test_a_cleaned_text_can_be_encoded(text: str) -> None:
    assert b"\0" not in clean_text(text).encode()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\0b", r"a\x00b"),
        ("\ud800", r"\ud800"),
        ("\udcff.csv", r"\udcff.csv"),
        ("Zürich 🏠", "Zürich 🏠"),
    ],
)
def test_characters_are_escaped_so_that_people_can_read_them(
    text: str, escaped: str
) -> None:
    assert clean_text(text) == escaped


@pytest.mark.parametrize(
    "payload",
    [
        {"a": "x\0"},
        {"a\0": 1},
        {"a": [{"b": ("\udfff",)}]},
        {"a": float("nan")},
        {"a": float("-inf")},
    ],
)
def test_an_event_that_postgres_cannot_hold_is_dead_with_a_reason(
    payload: dict[str, Any],
) -> None:
    kept = storable(NewItem("kind", "key", payload))
    assert (kept.state, kept.error) == (State.DEAD, UNSTORABLE)
    assert kept.key == "key"
    assert kept.payload == clean(payload)


def test_a_dead_event_keeps_its_own_reason_and_outcome() -> None:
    kept = storable(
        NewItem(
            "kind", "key", {"x": "\0"}, State.DEAD, "no \0JSON", {"error": "e"}
        )
    )
    assert (kept.error, kept.outcome) == (r"no \x00JSON", {"error": "e"})


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"a": "x" * MAX_ITEM_BYTES}, "bytes, more than"),
        ({"a": nested(5_000)}, "nested too deeply"),
    ],
)
def test_an_event_too_large_or_too_deep_is_dead_and_emptied(
    payload: dict[str, Any], reason: str
) -> None:
    kept = storable(NewItem("kind", "key", payload))
    assert (kept.state, kept.payload) == (State.DEAD, {})
    assert kept.error is not None
    assert reason in kept.error


@given(st.text(st.characters(), min_size=1, max_size=50))
def test_a_long_key_is_cut_to_the_limit_and_stays_one_of_its_own(
    stem: str,
) -> None:
    long = stem * MAX_KEY_BYTES
    cut = storable_key(long)
    assert len(cut.encode()) <= MAX_KEY_BYTES
    assert cut != storable_key(long + "x")
    assert storable_key(cut) == cut


def test_an_event_with_a_long_key_is_dead() -> None:
    kept = storable(NewItem("kind", "k" * (MAX_KEY_BYTES + 1), {"a": 1}))
    assert kept.state == State.DEAD


def test_the_longest_key_is_left_as_it_is() -> None:
    item = NewItem("kind", "k" * MAX_KEY_BYTES)
    assert storable(item) is item
