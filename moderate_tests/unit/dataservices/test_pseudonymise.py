"""Tokens are the library's, keys rotate, and wrong ones name the column."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import pyarrow as pa
import pytest
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from hypothesis import given, settings
from hypothesis import strategies as st

from moderate.dataservices import fernet_batch
from moderate.dataservices.errors import DataError
from moderate.dataservices.fernet_batch import Key, TokenError
from moderate.dataservices.pseudonymise import pseudonymise
from moderate.dataservices.techniques import parse
from moderate.errors import PermanentError
from moderate_tests.unit.dataservices.helpers import (
    Keys,
    csv_table,
    parquet_table,
    records,
    text_of,
)

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=70))
NEW, OLD = (Fernet.generate_key().decode() for _ in range(2))
TABLE = "n,v\nAnn,1\n,2\nBob,3\n"
ENCRYPT = parse(
    [{"technique": {"encrypt": {"columns": ["n"], "key_name": "k"}}}]
)
DECRYPT = parse(
    [{"technique": {"type": "decrypt", "columns": ["n"], "key_name": "k"}}]
)


def encrypt(values: list[str], key: Key) -> list[str]:
    made = fernet_batch.encrypt(pa.array(values, pa.string()), key)
    return [str(token) for token in made.to_pylist()]


def decrypt(tokens: list[str], keys: list[Key]) -> list[str]:
    made = fernet_batch.decrypt(pa.array(tokens, pa.string()), keys)
    return [str(value) for value in made.to_pylist()]


@settings(deadline=None, max_examples=40)
@given(values=TEXTS)
def test_the_library_reads_our_tokens_and_we_read_its(
    values: list[str],
) -> None:
    key, library = Key.parse(NEW), Fernet(NEW)
    ours = encrypt(values, key)
    assert [library.decrypt(token).decode() for token in ours] == values
    theirs = [library.encrypt(value.encode()).decode() for value in values]
    assert decrypt(theirs, [key]) == values
    assert decrypt(ours, [key]) == values


def test_equal_values_get_different_tokens() -> None:
    assert len(set(encrypt(["a"] * 50, Key.parse(NEW)))) == 50


@settings(deadline=None, max_examples=60)
@given(place=st.integers(0, 500), change=st.integers(1, 255))
def test_whatever_is_changed_in_a_token_is_noticed(
    place: int, change: int
) -> None:
    (token,) = encrypt(["a value"], Key.parse(NEW))
    raw = bytearray(urlsafe_b64decode(token))
    raw[place % len(raw)] ^= change
    broken = urlsafe_b64encode(raw).decode()
    with pytest.raises(InvalidToken):
        Fernet(NEW).decrypt(broken)
    with pytest.raises(TokenError):
        decrypt([broken], [Key.parse(NEW)])


def test_the_value_that_is_at_fault_is_named() -> None:
    """Values of one length go together; the place is each one's own."""
    key, library = Key.parse(NEW), Fernet(NEW)
    good = encrypt(["a", "b" * 20, "c"], key)
    broken = "A" + good[0][1:]
    for odd, is_token in (
        (good[0][:-1], False),
        (good[0][:-2] + "?=", False),
        (good[0][:-1] + "A", False),
        (broken, False),
        (library.encrypt(b"\xff").decode(), False),
        (Fernet(OLD).encrypt(b"a").decode(), True),
        ("", False),
    ):
        with pytest.raises(TokenError) as caught:
            decrypt([*good, odd, *good], [key])
        assert caught.value.index == 3, odd
        assert caught.value.is_token is is_token, odd


def test_values_of_any_length_keep_their_order() -> None:
    keys = [Key.parse(NEW), Key.parse(OLD)]
    values = ["x" * (n * 7 % 100) + str(n) for n in range(500)]
    tokens = encrypt(values, keys[1])
    tokens[::3] = encrypt(values[::3], keys[0])
    assert decrypt(tokens, keys) == values


def test_a_round_trip_is_byte_identical(tmp_path: Path) -> None:
    table = csv_table(tmp_path, TABLE)
    keys = Keys(k=NEW)
    hidden, report = pseudonymise(table, ENCRYPT, keys, tmp_path / "a.csv")
    assert report.nulls == 1
    assert "Ann" not in text_of(hidden)
    back, _ = pseudonymise(hidden, DECRYPT, keys, tmp_path / "b.csv")
    assert text_of(back) == TABLE
    assert "n" in hidden.safe
    assert "n" not in back.safe, "a preview must mask it again"


def test_keys_rotate_as_multi_fernet_does(tmp_path: Path) -> None:
    table = csv_table(tmp_path, TABLE)
    old, _ = pseudonymise(table, ENCRYPT, Keys(k=OLD), tmp_path / "a.csv")
    both = Keys(k=f"{NEW}\n{OLD}")
    back, _ = pseudonymise(old, DECRYPT, both, tmp_path / "b.csv")
    assert text_of(back) == TABLE
    new, _ = pseudonymise(table, ENCRYPT, both, tmp_path / "c.csv")
    token = records(new)[0]["n"]
    assert Fernet(NEW).decrypt(token) == b"Ann"
    assert MultiFernet([Fernet(NEW), Fernet(OLD)]).decrypt(token) == b"Ann"


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (NEW, "column 'n', row 1: key 'k' does not fit"),
        ("short", "key 'k': not a Fernet key"),
        ("", "key 'k' is empty"),
    ],
    ids=["another", "short", "empty"],
)
def test_a_wrong_key_names_column_and_shows_nothing(
    tmp_path: Path, stored: str, said: str
) -> None:
    table = csv_table(tmp_path, TABLE)
    old, _ = pseudonymise(table, ENCRYPT, Keys(k=OLD), tmp_path / "a.csv")
    with pytest.raises(DataError) as caught:
        pseudonymise(old, DECRYPT, Keys(k=stored), tmp_path / "b.csv")
    assert str(caught.value).startswith(said)
    assert stored not in str(caught.value) or not stored
    assert not (tmp_path / "b.csv").exists()


def test_what_is_not_encrypted_is_told_from_a_wrong_key(
    tmp_path: Path,
) -> None:
    table = csv_table(tmp_path, TABLE)
    with pytest.raises(DataError, match=r"'n', row 1: the value is not enc"):
        pseudonymise(table, DECRYPT, Keys(k=NEW), tmp_path / "b.csv")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    table = csv_table(tmp_path, TABLE)
    with pytest.raises(PermanentError, match="key 'k' does not exist"):
        pseudonymise(table, ENCRYPT, Keys(), tmp_path / "b.csv")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_hashes_are_plain_or_keyed(tmp_path: Path, algorithm: str) -> None:
    table = csv_table(tmp_path, TABLE)
    plain = {"columns": ["n"], "algorithm": algorithm}
    keyed = {**plain, "columns": ["v"], "key_name": "k"}
    done, _ = pseudonymise(
        table,
        parse([{"hash": plain}, {"technique": {"hash": keyed}}]),
        Keys(k=NEW),
        tmp_path / "a.csv",
    )
    first, second, _ = records(done)
    assert first["n"] == hashlib.new(algorithm, b"Ann").hexdigest()
    digest = hmac.new(NEW.encode(), b"1", algorithm).hexdigest()
    assert first["v"] == digest
    assert second["n"] == "", "a null stays null"


def test_techniques_are_applied_in_order(tmp_path: Path) -> None:
    table = csv_table(tmp_path, TABLE)
    done, _ = pseudonymise(
        table,
        parse(
            [
                {"replace": {"columns": ["n"], "new_value": "X"}},
                {"hash": {"columns": ["n"]}},
            ]
        ),
        Keys(),
        tmp_path / "a.csv",
    )
    assert records(done)[0]["n"] == hashlib.sha256(b"X").hexdigest()


def test_a_round_trip_gives_back_parquet_types(tmp_path: Path) -> None:
    table = parquet_table(tmp_path, {"n": [1, None, -7], "v": [0.5, 1.0, 2.0]})
    keys = Keys(k=NEW)
    hidden, _ = pseudonymise(table, ENCRYPT, keys, tmp_path / "a.parquet")
    assert str(hidden.schema().field("n").type) == "string"
    back, _ = pseudonymise(hidden, DECRYPT, keys, tmp_path / "b.parquet")
    assert back.schema().equals(table.schema())
    assert (
        next(back.batches()).to_pydict() == next(table.batches()).to_pydict()
    )


@pytest.mark.parametrize(
    ("used", "said"),
    [
        ([], "used_function is empty"),
        ([{"technique": {"mask": {}}}], "a technique is expected: hash"),
        ([{"technique": "hash"}], "a technique is expected"),
        ([{"hash": {"columns": []}}], "used_function 1: hash: columns"),
        ([{"encrypt": {"columns": ["n"]}}], "encrypt: key_name"),
        ([{"hash": {"columns": ["n"], "algorithm": "md5"}}], "algorithm"),
    ],
)
def test_a_wrong_technique_is_one_line(used: list[object], said: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(used)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
