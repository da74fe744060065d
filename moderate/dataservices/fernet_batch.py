"""Fernet for whole columns: the library's tokens, many at a time.

``cryptography.fernet`` makes one token with a dozen Python calls and copies;
a column of a million values takes it a minute of the two cores we have. Here
the AES blocks of all values go through the library's cipher together: CBC
of block i is ECB of (block i xor the ciphertext of block i - 1). The format
is https://github.com/fernet/spec (version 0x80, time, IV, AES-128-CBC with
PKCS 7, HMAC-SHA256), and tests hold it to the library in both directions.
"""

import binascii
import hmac
import os
import struct
import time
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from moderate.dataservices.errors import DataError

BLOCK = 16
KEY_BYTES = 32
_VERSION = b"\x80"
_HEAD = 9  # Version and time.
_TAG = 32
_LEAST = _HEAD + BLOCK + BLOCK + _TAG
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")

Bytes = npt.NDArray[np.uint8]


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


def encrypt(values: Sequence[str], key: Key) -> list[str]:
    """Return a token for each value; equal values get different ones.

    The time in a token is that of the call.
    """
    head = _VERSION + struct.pack(">Q", int(time.time()))
    plain, lengths = _padded([value.encode() for value in values])
    ivs = np.frombuffer(os.urandom(BLOCK * len(values)), np.uint8)
    blocks = _cbc(plain, lengths, ivs.reshape(-1, BLOCK), key)
    ciphertext = blocks.tobytes()
    random = ivs.tobytes()
    tokens, start = [], 0
    for i, length in enumerate(lengths.tolist()):
        end = start + length * BLOCK
        iv = random[i * BLOCK : (i + 1) * BLOCK]
        body = head + iv + ciphertext[start:end]
        start = end
        signed = body + hmac.digest(key.signing, body, "sha256")
        token = binascii.b2a_base64(signed, newline=False)
        tokens.append(token.translate(_TO_URL).decode("ascii"))
    return tokens


def _single_blocks(key: Key) -> Cipher[modes.ECB]:
    mode = modes.ECB()  # noqa: S305  # chained here: that is CBC
    return Cipher(algorithms.AES(key.encryption), mode)


def _padded(values: Sequence[bytes]) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Return all blocks, padded by PKCS 7, and how many each value has."""
    pads = [bytes([n]) * n for n in range(BLOCK + 1)]
    plain = b"".join([v + pads[BLOCK - len(v) % BLOCK] for v in values])
    lengths = np.array([len(v) // BLOCK + 1 for v in values], dtype=np.int64)
    return np.frombuffer(plain, np.uint8).reshape(-1, BLOCK), lengths


def _cbc(
    plain: Bytes, lengths: npt.NDArray[np.int64], ivs: Bytes, key: Key
) -> Bytes:
    """Encrypt block 0 of all values, then block 1 of those that have one."""
    cipher = _single_blocks(key).encryptor()
    out = np.empty_like(plain)
    starts = np.cumsum(lengths) - lengths
    before, alive, number = ivs, np.arange(len(lengths)), 0
    while len(alive):
        rows = starts[alive] + number
        mixed = (plain[rows] ^ before).tobytes()
        made = np.frombuffer(cipher.update(mixed), np.uint8)
        out[rows] = made.reshape(-1, BLOCK)
        number += 1
        longer = lengths[alive] > number
        before, alive = made.reshape(-1, BLOCK)[longer], alive[longer]
    return out


def decrypt(tokens: Sequence[str], keys: Sequence[Key]) -> list[str]:
    """Return what the tokens hold; any of the keys may have made one.

    Raises:
        TokenError: A value is no token, or none of the keys made it.
    """
    raw = [_decoded(token, i) for i, token in enumerate(tokens)]
    owners = [_owner(body, keys, i) for i, body in enumerate(raw)]
    texts: list[str] = [""] * len(raw)
    for number, key in enumerate(keys):
        mine = [i for i, owner in enumerate(owners) if owner == number]
        for i, text in zip(
            mine, _open([raw[i] for i in mine], key, mine), strict=True
        ):
            texts[i] = text
    return texts


def _decoded(token: str, index: int) -> bytes:
    try:
        encoded = token.encode("ascii").translate(_FROM_URL)
        raw = binascii.a2b_base64(encoded, strict_mode=True)
    except (ValueError, UnicodeEncodeError):
        raise TokenError(index, is_token=False) from None
    is_whole = len(raw) >= _LEAST and (len(raw) - _LEAST) % BLOCK == 0
    if not is_whole or raw[:1] != _VERSION:
        raise TokenError(index, is_token=False)
    return raw


def _owner(raw: bytes, keys: Sequence[Key], index: int) -> int:
    """Return which key signed a token."""
    body, tag = raw[:-_TAG], raw[-_TAG:]
    for number, key in enumerate(keys):
        made = hmac.digest(key.signing, body, "sha256")
        if hmac.compare_digest(made, tag):
            return number
    raise TokenError(index, is_token=True)


def _open(raw: Sequence[bytes], key: Key, indices: Sequence[int]) -> list[str]:
    """Decrypt tokens whose signature holds."""
    if not raw:
        return []
    cipher = _single_blocks(key).decryptor()
    chained = b"".join([each[_HEAD:-_TAG] for each in raw])  # IV, blocks.
    blocks = np.frombuffer(chained, np.uint8).reshape(-1, BLOCK)
    opened = np.frombuffer(cipher.update(chained), np.uint8)
    plain = opened.reshape(-1, BLOCK)[1:] ^ blocks[:-1]
    text = plain.tobytes()
    found, start = [], 0
    for index, each in zip(indices, raw, strict=True):
        size = len(each) - _HEAD - _TAG - BLOCK
        value = text[start : start + size]
        start += size + BLOCK  # Over the next one's IV.
        found.append(_unpadded(value, index))
    return found


def _unpadded(value: bytes, index: int) -> str:
    pad = value[-1]
    if not 1 <= pad <= BLOCK or value[-pad:] != bytes([pad]) * pad:
        raise TokenError(index, is_token=True)
    try:
        return value[:-pad].decode()
    except UnicodeDecodeError:  # Another program's; it holds no text.
        raise TokenError(index, is_token=False) from None
