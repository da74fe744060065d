"""What Postgres can hold, and what becomes of an event that it can't.

Postgres has no NUL in text, no lone surrogates, no infinite numbers in JSON,
and no long keys in an index. One such event would fail the statement that
carries it, and with it every other event of the tick, again and again. So it
is kept as a dead item: visible, with its reason and its text escaped.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moderate.inbox.model import NewItem, State

MAX_KEY_BYTES = 2_000
"""Of a key; Postgres refuses index entries over 2,704 bytes."""

MAX_ITEM_BYTES = 256 * 1024
"""Of an item as JSON; large data belongs in the object storage."""

UNSTORABLE = "the event holds text or numbers that Postgres can't store"


def clean_text(text: str) -> str:
    r"""Write as escapes (``\x00``, ``\ud800``) what Postgres can't hold."""
    storable = text.encode("utf-8", "backslashreplace").decode()
    return storable.replace("\0", r"\x00")


def clean(value: Any) -> Any:
    """Return a JSON value with its texts and numbers made storable.

    Raises:
        RecursionError: It is nested too deeply.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {clean(key): clean(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([clean(held) for held in value])
    return value


def storable_key(key: str) -> str:
    """Return the key under which an event is stored; nearly always itself."""
    text = clean_text(key).encode()
    if len(text) <= MAX_KEY_BYTES:
        return text.decode()
    mark = f"...sha256:{hashlib.sha256(text).hexdigest()}"
    return text[: MAX_KEY_BYTES - len(mark)].decode(errors="ignore") + mark


def storable(item: NewItem) -> NewItem:
    """Return the item itself, or a dead one that can be stored instead."""
    key = storable_key(item.key)
    try:
        cleaned = replace(
            item,
            key=key,
            payload=clean(item.payload),
            error=clean(item.error),
            outcome=clean(item.outcome),
        )
        size = len(json.dumps(vars(cleaned)))
    except RecursionError:
        return _emptied(item, key, "the event is nested too deeply")
    if size > MAX_ITEM_BYTES:
        why = f"the event has {size} bytes, more than {MAX_ITEM_BYTES}"
        return _emptied(item, key, why)
    if cleaned == item:
        return item
    return replace(
        cleaned, state=State.DEAD, error=cleaned.error or UNSTORABLE
    )


def _emptied(item: NewItem, key: str, why: str) -> NewItem:
    return NewItem(item.kind, key, {}, State.DEAD, why)
