"""The techniques of pseudonymisation, as a run's configuration names them.

``{hash: {columns: […], algorithm: sha256}}`` and ``{type: hash, columns:
[…]}`` mean the same.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moderate.dataservices.errors import DataError

REDACTED = "[REDACTED]"


class Algorithm(StrEnum):
    """Which hash."""

    SHA256 = "sha256"
    SHA512 = "sha512"


class Technique(BaseModel):
    """What is done to some columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]
    is_safe: ClassVar[bool] = True
    """Whether what it makes may be shown in a preview."""

    columns: Annotated[tuple[str, ...], Field(min_length=1)]


class Hash(Technique):
    """The hexadecimal hash of a value; HMAC if a key is named.

    Without a key whoever can list the possible values can undo it.
    """

    name: ClassVar[str] = "hash"
    is_safe: ClassVar[bool] = False

    algorithm: Algorithm = Algorithm.SHA256
    key_name: str | None = None


class Encrypt(Technique):
    """A Fernet token of a value."""

    name: ClassVar[str] = "encrypt"

    key_name: str


class Decrypt(Technique):
    """The value of a Fernet token."""

    name: ClassVar[str] = "decrypt"
    is_safe: ClassVar[bool] = False

    key_name: str


class Redact(Technique):
    """``[REDACTED]`` in place of every value."""

    name: ClassVar[str] = "redact"


class Replace(Technique):
    """One value in place of every value."""

    name: ClassVar[str] = "replace"

    new_value: str


TECHNIQUES: Mapping[str, type[Technique]] = MappingProxyType(
    {each.name: each for each in (Hash, Encrypt, Decrypt, Redact, Replace)}
)


def parse(used: Sequence[Mapping[str, Any]]) -> tuple[Technique, ...]:
    """Return the techniques that a configuration's ``used_function`` lists.

    Raises:
        DataError: One line: which of them, and what is wrong.
    """
    if not used:
        msg = "used_function is empty: name a technique"
        raise DataError(msg)
    return tuple(_one(i, entry) for i, entry in enumerate(used, start=1))


def _one(number: int, entry: Mapping[str, Any]) -> Technique:
    given = entry.get("technique", entry)
    name, options = _name_and_options(given)
    kind = TECHNIQUES.get(name)
    if kind is None:
        known = ", ".join(TECHNIQUES)
        msg = f"used_function {number}: a technique is expected: {known}"
        raise DataError(msg)
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, detail["loc"]))
        msg = f"used_function {number}: {name}: {place}: {detail['msg']}"
        raise DataError(msg) from None


def _name_and_options(given: Any) -> tuple[str, Any]:
    if not isinstance(given, Mapping):
        return "", {}
    if "type" in given:
        rest = {k: v for k, v in given.items() if k != "type"}
        return str(given["type"]), rest
    if len(given) == 1:
        name, options = next(iter(given.items()))
        return str(name), options
    return "", {}
