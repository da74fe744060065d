"""Takes secrets out of text before it leaves the process.

Two nets, one behind the other: the exact values that this process was given
(in every spelling in which libraries print them), and the shapes that secrets
have (URL passwords, signatures of presigned URLs, bearer tokens, JWTs), for
those that it was not told of.

The time is linear in the length of the text, whatever somebody put into it:
no pattern can begin twice in one run of the characters that it repeats.
"""

import base64
import json
import re
import traceback
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

from pydantic import SecretStr

MASK = "***"
"""What stands in place of a secret; too short to contain one."""

MIN_SECRET_LENGTH = 6
"""Shorter values are not looked for: they would shred every text."""

_MIN_BASE64_CORE = 8

# Between a name and its value: in a query or form (also encoded once more),
# or in JSON and Python text (also escaped once more). A bare "name: value"
# is prose, such as a list of faulty settings, and stays.
_EQUALS = r"""(?:=|%3[Dd]|(?:\\?["'])?\s?[:=]\s?\\?["'])"""
_VALUE = r"""[^\s&;,"'<>\\]+"""
_SIGNING_NAMES = r"X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)"
_TELLING_NAMES = (
    r"(?<![a-z])(?:signature|sig|token|(?:access|refresh|id)_token"
    r"|client_secret|password|passwd|secret_access_key|AWSAccessKeyId)"
)
_HAS_DIGIT_OR_CAPITAL = r"(?=[a-z.~+/=_-]*[A-Z0-9])"
_BEGINS_WORD = r"(?:(?<![\w-]eyJ)|(?<=%[0-9A-Fa-f]{2}eyJ))"

_PATTERNS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # scheme://user:password@host; the last @ before the path ends it.
        (
            r"""(://[^\s:/?#@"'<>]*:)[^\s/?#"'<>]+@""",
            rf"\1{MASK}@",
        ),
        # scheme://token@host, as Git hosts take it.
        (r"""(://)[^\s:/?#@"'<>]{16,}@""", rf"\1{MASK}@"),
        (rf"(?i)({_SIGNING_NAMES}{_EQUALS}){_VALUE}", rf"\1{MASK}"),
        (rf"(?i)({_TELLING_NAMES}{_EQUALS}){_VALUE}", rf"\1{MASK}"),
        # An Authorization header; not the words "basic authentication".
        (
            rf"((?i:\b(?:bearer|basic))\s){_HAS_DIGIT_OR_CAPITAL}[\w.~+/=-]+",
            rf"\1{MASK}",
        ),
        # A JWT: base64 of '{"' at a word's begin, then parts behind dots.
        (rf"eyJ{_BEGINS_WORD}[\w-]{{8,}}(?:\.[\w-]*)+", MASK),
    )
)


class Redactor:
    """Replaces known secrets and everything that looks like one.

    Args:
        secrets: Values to look for wherever they occur, in plain, URL-encoded,
            base64, JSON-escaped and ``repr`` spelling. Of a URL its password
            counts too. Values under ``MIN_SECRET_LENGTH`` are counted in
            ``unprotected`` and otherwise left alone.
    """

    def __init__(self, secrets: Iterable[SecretStr | str] = ()) -> None:
        values = {value for secret in secrets for value in _values_of(secret)}
        known = {v for v in values if len(v) >= MIN_SECRET_LENGTH}
        self.unprotected = len(values - known)
        spellings = {s for value in known for s in _spellings(value)}
        longest_first = sorted(spellings, key=lambda s: (-len(s), s))
        self._known = (
            re.compile("|".join(map(re.escape, longest_first)))
            if longest_first
            else None
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def redact(self, text: str) -> str:
        """Return ``text`` with ``MASK`` in place of every secret."""
        if self._known:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def redact_exception(self, error: BaseException) -> str:
        """Return the whole traceback of ``error``, causes included."""
        return self.redact("".join(traceback.format_exception(error)))


def _values_of(secret: SecretStr | str) -> Iterator[str]:
    value = secret if isinstance(secret, str) else secret.get_secret_value()
    if not value:
        return
    yield value
    if "://" in value:
        yield from _url_password(value)


def _url_password(url: str) -> Iterator[str]:
    try:
        password = urlsplit(url).password
    except ValueError:  # Not a URL after all: the whole value is known.
        return
    if password:
        yield unquote(password)


def _spellings(value: str) -> Iterator[str]:
    yield value
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield quoted
        yield _lower_escapes(quoted)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield repr(value + "'\"")[1:-4]  # Inside a text with both quotes.
    yield from _base64_spellings(value.encode())


def _lower_escapes(quoted: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), quoted)


def _base64_spellings(raw: bytes) -> Iterator[str]:
    """Yield what base64 makes of ``raw`` at each of the three alignments.

    Only the characters that depend on ``raw`` alone are kept, so that it is
    found inside longer encoded text too (``user:password``, a JSON body).
    """
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode()
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        core = encoded[first:last]
        if len(core) >= _MIN_BASE64_CORE:
            yield core
            yield core.replace("+", "-").replace("/", "_")
