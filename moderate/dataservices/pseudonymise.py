"""Hash, encrypt, decrypt, redact or replace the values of some columns.

A null stays null. Columns that no technique names stay as they are.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from moderate.dataservices.columns import resolve
from moderate.dataservices.encoding import as_text
from moderate.dataservices.errors import DataError
from moderate.dataservices.fernet_batch import TokenError, decrypt, encrypt
from moderate.dataservices.keys import KeyRing, KeyStore, hash_key, key_ring
from moderate.dataservices.output import replace_columns, writing
from moderate.dataservices.tables import Table
from moderate.dataservices.techniques import (
    REDACTED,
    Decrypt,
    Encrypt,
    Hash,
    Redact,
    Replace,
    Technique,
)

_TYPE_KEY = b"moderate:encrypted_type"
"""Where a Parquet column that was encrypted keeps the type that it had."""

Change = Callable[[str, int, pa.Array], pa.Array]
"""Makes a column's new values; takes its name and the rows before these."""


@dataclass(frozen=True)
class PseudonymReport:
    """What was done."""

    rows: int
    columns: tuple[str, ...]
    techniques: tuple[str, ...]
    nulls: int


def pseudonymise(
    table: Table,
    techniques: Sequence[Technique],
    store: KeyStore,
    path: Path,
    *,
    ignore_case: bool = False,
) -> tuple[Table, PseudonymReport]:
    """Write the table with the techniques applied in order.

    Args:
        table: The input.
        techniques: In the order in which they are applied.
        store: Holds the keys that they name.
        path: Where the output goes; not there if anything is raised.
        ignore_case: Whether a column's name may differ by case.

    Raises:
        DataError: A column or key is missing or wrong; names the column.
    """
    steps = [
        (name, each, _change(each, store))
        for each in techniques
        for name in resolve(
            each.columns, table.columns, ignore_case=ignore_case
        )
    ]
    before = table.schema()
    after = before
    for name, each, _ in steps:
        after = _with_type(after, name, each)
    rows = nulls = 0
    with writing(path, table, after) as writer:
        for batch in table.batches():
            columns = {name: batch.column(name) for name, _, _ in steps}
            nulls += sum(column.null_count for column in columns.values())
            for name, _, change in steps:
                columns[name] = change(name, rows, columns[name])
            typed = {n: _typed(n, c, after) for n, c in columns.items()}
            writer.write(replace_columns(batch, typed))
            rows += batch.num_rows
    names = tuple(dict.fromkeys(name for name, _, _ in steps))
    last = {name: each.is_safe for name, each, _ in steps}
    used = tuple(dict.fromkeys(each.name for each in techniques))
    safe = table.safe | {n for n, is_safe in last.items() if is_safe}
    shown = safe - {n for n, is_safe in last.items() if not is_safe}
    report = PseudonymReport(rows, names, used, nulls)
    return replace(table, path=path, safe=shown), report


def _with_type(
    schema: pa.Schema, name: str, technique: Technique
) -> pa.Schema:
    """Return the schema once a technique was applied to a column."""
    place = schema.get_field_index(name)
    old = schema.field(place)
    new = pa.field(name, pa.string())
    if isinstance(technique, Encrypt) and not pa.types.is_string(old.type):
        raw = pa.schema([pa.field(name, old.type)]).serialize().to_pybytes()
        new = new.with_metadata({_TYPE_KEY: b64encode(raw)})
    if isinstance(technique, Decrypt) and _TYPE_KEY in (old.metadata or {}):
        raw = b64decode(old.metadata[_TYPE_KEY])
        new = pa.ipc.read_schema(pa.py_buffer(raw)).field(0)
    return schema.set(place, new)


def _typed(name: str, column: pa.Array, schema: pa.Schema) -> pa.Array:
    wanted = schema.field(name).type
    try:
        return column.cast(wanted)
    except pa.ArrowInvalid:
        msg = f"column {name!r}: what was decrypted is no {wanted}"
        raise DataError(msg) from None


def _change(technique: Technique, store: KeyStore) -> Change:
    """Return what a technique does; its key is read now."""
    if isinstance(technique, Encrypt):
        ring = key_ring(store, technique.key_name)
        return lambda _, __, a: _filled(a, lambda v: encrypt(v, ring.keys[0]))
    if isinstance(technique, Decrypt):
        return _decrypting(key_ring(store, technique.key_name))
    if isinstance(technique, Hash):
        digest = _digest(technique, store)
        return lambda _, __, array: _each_distinct(array, digest)
    if isinstance(technique, Redact):
        return lambda _, __, array: _constant(array, REDACTED)
    assert isinstance(technique, Replace)  # noqa: S101  # there are no others
    return lambda _, __, array: _constant(array, technique.new_value)


def _digest(technique: Hash, store: KeyStore) -> Callable[[str], str]:
    name = technique.algorithm.value
    if technique.key_name is None:
        return lambda value: hashlib.new(name, value.encode()).hexdigest()
    key = hash_key(store, technique.key_name)
    return lambda value: hmac.digest(key, value.encode(), name).hex()


def _filled(
    array: pa.Array, change: Callable[[pa.StringArray], pa.StringArray]
) -> pa.Array:
    """Change the values that are not null."""
    text = as_text(array)
    made = change(text.drop_null())
    if not text.null_count:
        return made
    is_there = text.is_valid().to_numpy(zero_copy_only=False)
    places = np.cumsum(is_there) - 1
    return made.take(pa.array(places, mask=~is_there))


def _each_distinct(array: pa.Array, change: Callable[[str], str]) -> pa.Array:
    """Change each distinct value once: equal values stay equal."""
    coded = as_text(array).dictionary_encode()
    made = [change(value) for value in coded.dictionary.to_pylist()]
    return pa.array(made, pa.string()).take(coded.indices)


def _constant(array: pa.Array, value: str) -> pa.Array:
    return pc.if_else(array.is_null(), pa.scalar(None, pa.string()), value)


def _decrypting(ring: KeyRing) -> Change:
    def change(name: str, start: int, array: pa.Array) -> pa.Array:
        try:
            return _filled(array, lambda values: decrypt(values, ring.keys))
        except TokenError as error:
            row = start + _row_of(array, error.index) + 1
            why = (
                f"key {ring.name!r} does not fit"
                if error.is_token
                else "the value is not encrypted"
            )
            msg = f"column {name!r}, row {row}: {why}"
            raise DataError(msg) from None

    return change


def _row_of(array: pa.Array, index: int) -> int:
    """Return the row of the value number ``index`` that is not null."""
    present = [i for i, m in enumerate(array.is_null().to_pylist()) if not m]
    return present[index]
