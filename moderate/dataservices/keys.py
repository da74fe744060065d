"""Key material, as whoever holds it hands it out."""

from dataclasses import dataclass, field
from typing import Protocol

from pydantic import SecretStr

from moderate.dataservices.errors import DataError
from moderate.dataservices.fernet_batch import Key


class KeyStore(Protocol):
    """Where keys are kept."""

    def read(self, name: str) -> SecretStr:
        """Return the text under a name.

        Raises:
            ModerateError: There is none, or it can't be read; the text of
                the error holds nothing of the key.
        """


@dataclass(frozen=True)
class KeyRing:
    """The keys of one name: the first encrypts, any decrypts.

    That is how ``cryptography.fernet.MultiFernet`` rotates: put the new key
    first, and take the old one away once nothing needs it.
    """

    name: str
    keys: tuple[Key, ...] = field(repr=False)


def key_ring(store: KeyStore, name: str) -> KeyRing:
    """Return the Fernet keys of a name, one a line or between commas.

    Raises:
        DataError: What is stored there is no key.
    """
    text = store.read(name).get_secret_value()
    parts = text.replace(",", "\n").split()
    try:
        keys = tuple(map(Key.parse, parts))
    except DataError as error:
        msg = f"key {name!r}: {error}"
        raise DataError(msg) from None
    if not keys:
        msg = f"key {name!r} is empty"
        raise DataError(msg)
    return KeyRing(name, keys)


def hash_key(store: KeyStore, name: str) -> bytes:
    """Return the first key of a name as it stands, for HMAC.

    Raises:
        DataError: It is empty.
    """
    parts = store.read(name).get_secret_value().replace(",", "\n").split()
    if not parts:
        msg = f"key {name!r} is empty"
        raise DataError(msg)
    return parts[0].encode()
