"""Fernet for whole columns: the library's tokens, many at a time.

``cryptography.fernet`` makes one token with a dozen Python calls and copies.
Here values of one length in blocks are the rows of a matrix: its columns go
through the library's AES (CBC of block i is ECB of (block i xor the
ciphertext of block i - 1)), and all of it through one base64. Left for each
value is its HMAC. The format is https://github.com/fernet/spec (version 0x80,
time, IV, AES-128-CBC with PKCS 7, HMAC-SHA256), and tests hold it to the
library in both directions.
"""

import binascii
import os
import struct
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from moderate.dataservices.encoding import Mask
from moderate.dataservices.errors import DataError

BLOCK = 16
KEY_BYTES = 32
_VERSION = 0x80
_HEAD = 9  # Version and time.
_TAG = 32
_FRAME = _HEAD + BLOCK + _TAG  # All but the blocks; a multiple of 3.
_GROUP, _SIGNS = 3, 4  # Bytes, and signs for them, of base64.
_PAD, _ZERO = ord("="), ord("A")
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


class TokenError(Exception):
    """A value is no token of ours.

    Attributes:
        index: Which of the values.
        is_token: Whether it looks like one, so that the key must be wrong.
    """

    def __init__(self, index: int, *, is_token: bool) -> None:
        super().__init__(index)
        self.index = index
        self.is_token = is_token


@dataclass(frozen=True)
class Key:
    """One Fernet key: 32 bytes in URL-safe base64."""

    signing: bytes = field(repr=False)
    encryption: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Return the key that a text holds.

        Raises:
            DataError: It is none; the text is not repeated.
        """
        try:
            raw = urlsafe_b64decode(text.strip().encode("ascii"))
        except (ValueError, UnicodeEncodeError):
            raw = b""
        if len(raw) != KEY_BYTES:
            msg = "not a Fernet key: 32 bytes in URL-safe base64 are expected"
            raise DataError(msg)
        return cls(raw[:BLOCK], raw[BLOCK:])

    def tags(self, signed: Bytes) -> Bytes:
        """Return the HMAC of each row."""
        begun = HMAC(self.signing, SHA256())
        text, size = signed.tobytes(), signed.shape[1]
        tags = []
        for start in range(0, len(text), size):
            # Half the time of a one-shot HMAC: the key is hashed already.
            each = begun.copy()
            each.update(text[start : start + size])
            tags.append(each.finalize())
        return np.frombuffer(b"".join(tags), np.uint8).reshape(-1, _TAG)

    def single_blocks(self) -> Cipher[modes.ECB]:
        """Return AES of blocks that are chained here, which is CBC."""
        mode = modes.ECB()  # noqa: S305  # see above
        return Cipher(algorithms.AES(self.encryption), mode)


def encrypt(values: pa.StringArray, key: Key) -> pa.StringArray:
    """Return a token for each value; equal values get different ones.

    The time in a token is that of the call.

    Args:
        values: Without nulls.
        key: Makes the tokens.
    """
    head = np.frombuffer(struct.pack(">BQ", _VERSION, int(time.time())), "u1")
    texts, made = _Texts(values), _Parts()
    for blocks, rows in _groups(texts.sizes // BLOCK + 1):
        width = blocks * BLOCK
        signed = np.empty((len(rows), _HEAD + BLOCK + width), np.uint8)
        signed[:, :_HEAD] = head
        random = np.frombuffer(os.urandom(BLOCK * len(rows)), np.uint8)
        signed[:, _HEAD : _HEAD + BLOCK] = random.reshape(-1, BLOCK)
        signed[:, _HEAD + BLOCK :] = texts.padded(rows, width)
        _chain(signed[:, _HEAD:], key)
        made.add(rows, _encoded(np.hstack([signed, key.tags(signed)])))
    return made.in_order()


def _chain(blocks: Bytes, key: Key) -> None:
    """Encrypt each row in place; its first block is the IV."""
    cipher = key.single_blocks().encryptor()
    for start in range(BLOCK, blocks.shape[1], BLOCK):
        here = blocks[:, start : start + BLOCK]
        mixed = here ^ blocks[:, start - BLOCK : start]
        made = np.frombuffer(cipher.update(mixed.tobytes()), np.uint8)
        here[:] = made.reshape(-1, BLOCK)


def _encoded(raw: Bytes) -> pa.StringArray:
    """Return each row in URL-safe base64."""
    pads = -raw.shape[1] % _GROUP
    # Rows of whole groups can go through base64 together.
    whole = np.pad(raw, ((0, 0), (0, pads))).tobytes()
    text = binascii.b2a_base64(whole, newline=False).translate(_TO_URL)
    signs = np.frombuffer(text, np.uint8).reshape(len(raw), -1).copy()
    signs[:, signs.shape[1] - pads :] = _PAD
    return _strings(np.full(len(raw), signs.shape[1]), signs.reshape(-1))


def decrypt(tokens: pa.StringArray, keys: Sequence[Key]) -> pa.StringArray:
    """Return what the tokens hold; any of the keys may have made one.

    Args:
        tokens: Without nulls.
        keys: Those that may have made them.

    Raises:
        TokenError: A value is no token, or none of the keys made it.
    """
    texts, made = _Texts(tokens), _Parts()
    for size, rows in _groups(texts.sizes):
        raw = _decoded(texts.padded(rows, size), rows)
        for key, mine in _by_owner(raw, keys, rows):
            chained = raw[mine, _HEAD:-_TAG]
            made.add(rows[mine], _opened(chained, key, rows[mine]))
    return made.in_order()


def _decoded(signs: Bytes, rows: Places) -> Bytes:
    """Return the bytes of tokens of one length."""
    size = signs.shape[1]
    width = size // _SIGNS * _GROUP
    blocks, pads = divmod(width - _FRAME, BLOCK)
    if size % _SIGNS or blocks < 1 or pads != -blocks % _GROUP:
        raise TokenError(int(rows[0]), is_token=False)
    is_cut = (signs[:, size - pads :] != _PAD).any(axis=1)
    _refuse(is_cut, rows, is_token=False)
    # Rows without padding can go through base64 together; ``A`` is 0.
    signs[:, size - pads :] = _ZERO
    text = signs.tobytes().translate(_FROM_URL)
    try:
        decoded = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise _not_base64(text, size, rows) from None
    raw = np.frombuffer(decoded, np.uint8).reshape(-1, width)
    _refuse(raw[:, 0] != _VERSION, rows, is_token=False)
    return raw[:, : width - pads]


def _not_base64(text: bytes, size: int, rows: Places) -> TokenError:
    """Return the error of the first row that is no base64."""
    for number, row in enumerate(rows.tolist()):
        try:
            piece = text[number * size : (number + 1) * size]
            binascii.a2b_base64(piece, strict_mode=True)
        except binascii.Error:
            return TokenError(row, is_token=False)
    raise AssertionError  # all of them are, so they were together


def _by_owner(
    raw: Bytes, keys: Sequence[Key], rows: Places
) -> Iterator[tuple[Key, Places]]:
    """Yield each key with the tokens that it has signed."""
    left = np.arange(len(raw))
    for key in keys:
        # All bytes are compared always: the time tells nothing.
        made = key.tags(raw[left, :-_TAG])
        is_mine = (made == raw[left, -_TAG:]).all(axis=1)
        if is_mine.any():
            yield key, left[is_mine]
        left = left[~is_mine]
    if len(left):
        raise TokenError(int(rows[left[0]]), is_token=True)


def _opened(chained: Bytes, key: Key, rows: Places) -> pa.StringArray:
    """Decrypt rows of IV and blocks whose signature holds."""
    cipher = key.single_blocks().decryptor()
    blocks = cipher.update(chained[:, BLOCK:].tobytes())
    mixed = np.frombuffer(blocks, np.uint8).reshape(len(rows), -1)
    plain = mixed ^ chained[:, :-BLOCK]
    width = plain.shape[1]
    pads = plain[:, -1:].astype(np.int64)
    is_pad = np.arange(width) >= width - pads
    is_odd = (is_pad & (plain != pads)).any(axis=1)
    is_outside = (pads[:, 0] < 1) | (pads[:, 0] > BLOCK)
    _refuse(is_odd | is_outside, rows, is_token=True)
    sizes = width - pads[:, 0]
    try:
        return _strings(sizes, plain[~is_pad])
    except pa.ArrowInvalid:
        # Another program's, which has encrypted what is no text.
        values = (
            row[:size].tobytes()
            for row, size in zip(plain, sizes.tolist(), strict=True)
        )
        is_odd = np.array([not _is_text(value) for value in values])
        _refuse(is_odd, rows, is_token=False)
        raise


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _refuse(is_wrong: Mask, rows: Places, *, is_token: bool) -> None:
    if is_wrong.any():
        raise TokenError(int(rows[is_wrong.argmax()]), is_token=is_token)


def _groups(sizes: Places) -> Iterator[tuple[int, Places]]:
    """Yield each size with the rows that have it, by the first of them."""
    found, firsts = np.unique(sizes, return_index=True)
    for size in found[np.argsort(firsts)].tolist():
        yield size, np.flatnonzero(sizes == size)


def _strings(sizes: Places, text: Bytes) -> pa.StringArray:
    """Return texts that follow each other.

    Raises:
        ArrowInvalid: They are not UTF-8, or too long for one array.
    """
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(text)]
    kind = pa.large_binary()
    return pa.Array.from_buffers(kind, len(sizes), buffers).cast(pa.string())


class _Texts:
    """The bytes of an array's texts, as rows of matrices."""

    def __init__(self, values: pa.StringArray) -> None:
        whole = pa.concat_arrays([values.cast(pa.large_binary())])
        _, ends, text = whole.buffers()
        places = np.frombuffer(ends, np.int64)[: len(whole) + 1]
        self.sizes = np.diff(places)
        self._starts = places[:-1]
        longest = int(self.sizes.max(initial=0))
        room = np.zeros(longest + BLOCK, np.uint8)
        known = np.frombuffer(text or b"", np.uint8)
        self._bytes = np.concatenate([known, room])

    def padded(self, rows: Places, width: int) -> Bytes:
        """Return rows of one width, padded by PKCS 7."""
        windows = np.lib.stride_tricks.sliding_window_view(self._bytes, width)
        found: Bytes = windows[self._starts[rows]]
        missing = width - self.sizes[rows, None]
        is_pad = np.arange(width) >= width - missing
        return np.where(is_pad, missing.astype(np.uint8), found)


class _Parts:
    """Results of some rows each, which are put in order in the end."""

    def __init__(self) -> None:
        self._rows: list[Places] = []
        self._made: list[pa.StringArray] = []

    def add(self, rows: Places, made: pa.StringArray) -> None:
        self._rows.append(rows)
        self._made.append(made)

    def in_order(self) -> pa.StringArray:
        if len(self._made) == 1:
            return self._made[0]
        if not self._made:
            return pa.array([], pa.string())
        places = np.argsort(np.concatenate(self._rows))
        return pa.concat_arrays(self._made).take(pa.array(places))
