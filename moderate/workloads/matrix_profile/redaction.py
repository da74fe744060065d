"""Keeps the run's secrets out of everything that is written to stderr.

Tracebacks, warnings and log lines of third-party packages (urllib3 puts the
whole address in its messages) all pass through the same stream, so one
filter there covers what we can't foresee.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TextIO
from urllib.parse import parse_qsl, urlsplit

REDACTED = "[redacted]"
SECRET_VARIABLES = ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY")
# Shorter values of a query ("1", "true") would black out innocent text.
SHORTEST_SECRET = 6
SIGNED_PARAMETER = re.compile(
    r"(?i)((?:x-amz|x-goog)-[a-z-]+|signature|awsaccesskeyid|sig)=[^&\s'\"]+"
)


class RedactingStream:
    """A text stream that replaces secrets in whatever is written to it."""

    def __init__(self, stream: TextIO, secrets: Iterable[str]) -> None:
        self._stream = stream
        # The longest first: a secret may be a part of another one.
        self._secrets = sorted(set(secrets), key=len, reverse=True)

    def write(self, text: str) -> int:
        """Writes ``text`` without the secrets; returns its length."""
        self._stream.write(self.clean(text))
        return len(text)

    def clean(self, text: str) -> str:
        """Returns ``text`` with every secret replaced."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return SIGNED_PARAMETER.sub(rf"\1={REDACTED}", text)

    def flush(self) -> None:
        """Flushes the stream behind."""
        self._stream.flush()


def secrets_of(environ: Mapping[str, str]) -> set[str]:
    """Collects what must never be shown: keys, and the address' signature.

    Args:
        environ: Usually ``os.environ``; it may be incomplete or wrong.

    Returns:
        The secrets, in every spelling in which they could be written.
    """
    found = {environ.get(name, "").strip() for name in SECRET_VARIABLES}
    try:
        parts = urlsplit(environ.get("FILE_URL", "").strip())
    except ValueError:
        return _long_enough(found | {environ.get("FILE_URL", "")})
    found |= {parts.query, parts.password or ""}
    found |= {value for _, value in parse_qsl(parts.query)}
    found |= {pair.partition("=")[2] for pair in parts.query.split("&")}
    return _long_enough(found)


def _long_enough(texts: set[str]) -> set[str]:
    return {text for text in texts if len(text) >= SHORTEST_SECRET}
