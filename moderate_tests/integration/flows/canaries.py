"""Looks for secrets in everything that the service leaves behind."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from moderate.inbox.store import Inbox
from moderate_tests import canary

SIGNED = re.compile(r"X-Amz-Signature=[0-9a-f]{16}|eyJ[\w-]{20,}\.[\w-]{20,}")
"""A presigned URL or a token: secrets that no setting holds."""

INBOX_TABLES = ("work_item", "batch", "cursor", "audit", "peer_slot")


def spellings(secret: str) -> set[str]:
    """Return a secret in plain, URL-encoded, JSON and base64 spelling."""
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        *_base64(secret.encode()),
    }


def _base64(raw: bytes) -> Iterator[str]:
    """Yield what base64 makes of it, wherever in a longer text it stands."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        start = 4 if before else 0
        yield text[start:-2]
        yield text[start:-2].replace("+", "-").replace("/", "_")


def search_for(secrets: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what finds secrets in a text, and shows what is around them."""
    spelled = (each for secret in secrets for each in spellings(secret))
    known = re.compile("|".join(map(re.escape, spelled)))

    def search(text: str) -> list[str]:
        return [
            text[max(0, hit.start() - 200) : hit.end() + 20]
            for pattern in (known, SIGNED)
            for hit in pattern.finditer(text)
        ]

    return search


def texts_below(folder: Path) -> Iterator[canary.Text]:
    """Yield every file below a folder, databases cell by cell."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield from canary.file(path, str(path))


def texts_of_inbox(inbox: Inbox) -> Iterator[canary.Text]:
    """Yield every row of the inbox."""
    with inbox.transaction() as conn:
        for table in INBOX_TABLES:
            for row in conn.execute(f"SELECT * FROM {table}"):
                yield table, json.dumps(row, default=str)
