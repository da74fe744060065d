"""Looks for planted secrets in every place where the service leaves traces.

A *canary* is a secret that a test has planted in a secret setting. A
``Sweep`` knows all of them in every spelling in which they could get away,
and wants one in each secret setting: a setting that is new breaks every
sweep until it is planted too. What yields the texts of a place is below:
files, databases, buckets, processes, clusters, wires.
"""

import base64
import json
import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

import psycopg
from psycopg import sql

from moderate.settings import GROUPS
from moderate.settings.loading import is_secret

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LINK = "signed URL"
TOKEN = "token"
SHAPES = {
    LINK: re.compile(r"X-Amz-Signature(?:=|%3D)[0-9a-f]{16}"),
    TOKEN: re.compile(r"eyJ[\w-]{20,}\.[\w-]{20,}"),
}
"""Secrets that no setting holds, known by their shape."""

LEAST_CORE = 8
"""Characters of base64; fewer could stand there by chance."""

SQLITE = b"SQLite format 3\0"

AROUND = 100
"""Characters that are shown before a leak; what is around it tells whence."""

Text = tuple[str, str]
"""A name of where something stands, and what stands there."""


class NotPlantedError(AssertionError):
    """A sweep has no canary for a secret setting."""


def secret_variables() -> frozenset[str]:
    """Return the variables of all settings that are secret."""
    return frozenset(
        variable
        for group in GROUPS.values()
        for variable, field in group.variables().items()
        if is_secret(field)
    )


def stand_ins() -> dict[str, str]:
    """Return canaries for settings that a test does not use."""
    return {name: f"canary-of-{name.lower()}" for name in secret_variables()}


@dataclass(frozen=True)
class Leak:
    """A canary where it must not be.

    Attributes:
        place: Where.
        secret: Whose it is: a variable's name.
        form: How it is spelled.
        around: What stands there.
    """

    place: str
    secret: str
    form: str
    around: str


class Sweep:
    """Searches places for canaries, and counts what it has searched.

    Args:
        environment: The planted settings.
        more: Other secrets by what they are, such as wrong passwords.

    Raises:
        NotPlantedError: A secret setting has no canary.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        more: Mapping[str, str] | None = None,
    ) -> None:
        known = {name: environment.get(name) for name in secret_variables()}
        absent = sorted(name for name, value in known.items() if not value)
        if absent:
            raise NotPlantedError(f"no canary in {', '.join(absent)}")
        planted = {name: value for name, value in known.items() if value}
        self._secrets = {**planted, **(more or {})}
        self._needles: dict[tuple[str, str], str] = {}
        self._forms: set[str] = set()
        for name, value in self._secrets.items():
            for secret in _values(value):
                for form, spelled in spellings(secret):
                    self._forms.add(form)
                    self._needles.setdefault((name, spelled), form)
        self._searched: Counter[str] = Counter()
        self._texts = 0
        self.leaks: list[Leak] = []

    def look(
        self,
        place: str,
        texts: Iterable[Text],
        *,
        owned: Collection[str] = (),
    ) -> None:
        """Search a place.

        Args:
            place: What it is called.
            texts: What stands there.
            owned: Secrets that may be there.
        """
        self._searched[place] += 0
        for where, text in texts:
            self._texts += 1
            self._searched[place] += len(text)
            self.leaks += self._in(f"{place}: {where}", text, owned)

    def _in(
        self, where: str, text: str, owned: Collection[str]
    ) -> Iterator[Leak]:
        for (name, spelled), form in self._needles.items():
            if name not in owned and (at := text.find(spelled)) >= 0:
                around = _around(text, at, at + len(spelled))
                yield Leak(where, name, form, around)
        for name, shape in SHAPES.items():
            if name not in owned and (hit := shape.search(text)):
                yield Leak(where, name, "plain", _around(text, *hit.span()))

    @property
    def empty_places(self) -> list[str]:
        """Places in which nothing stood, so that nothing was proven."""
        return [name for name, size in self._searched.items() if not size]

    def summary(self, what: str) -> str:
        """Say in a line what was searched, and what was found."""
        mebibytes = sum(self._searched.values()) / 2**20
        return (
            f"canaries, {what}: {len(self._secrets)} secrets in"
            f" {len(self._forms)} forms, {len(self._searched)} places"
            f" ({', '.join(self._searched)}), {self._texts} texts,"
            f" {mebibytes:.1f} MiB: {len(self.leaks)} hits"
        )


def _around(text: str, start: int, end: int) -> str:
    return text[max(0, start - AROUND) : end + AROUND]


def _values(secret: str) -> Iterator[str]:
    """Yield a secret; of a URL also what is secret in it, as it is typed."""
    yield secret
    url = urlsplit(secret)
    if url.password:
        yield unquote(url.password)
    elif url.scheme and len(url.path) > 1:
        yield unquote(url.path[1:])


def spellings(secret: str) -> Iterator[tuple[str, str]]:
    """Yield a secret in all spellings, each with the name of its form."""
    yield "plain", secret
    quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    for each in quoted:
        yield "URL", each
        yield "URL, small", re.sub("%..", lambda hit: hit[0].lower(), each)
        yield "URL twice", quote(each, safe="")
    escaped = json.dumps(secret)[1:-1]
    yield "JSON", escaped
    yield "JSON twice", json.dumps(escaped)[1:-1]
    yield "JSON, not ASCII", json.dumps(secret, ensure_ascii=False)[1:-1]
    yield "Python", repr(secret)[1:-1]
    for offset in range(3):
        core = base64_core(secret.encode(), offset)
        if len(core) >= LEAST_CORE:
            yield f"base64, offset {offset}", core
            plain = core.replace("+", "-").replace("/", "_")
            yield f"base64, offset {offset}, for URLs", plain


def base64_core(raw: bytes, offset: int) -> str:
    """Return what base64 makes of bytes in a longer text, whatever it is.

    Args:
        raw: The bytes.
        offset: How many bytes stand before them, by three.

    Returns:
        The characters that depend on ``raw`` alone, six bits each.
    """
    text = base64.b64encode(bytes(offset) + raw).decode()
    first = -(-offset * 8 // 6)
    last = (offset + len(raw)) * 8 // 6
    return text[first:last]


# Places


def files(folder: Path, but: Collection[Path] = ()) -> Iterator[Text]:
    """Yield every file below a folder, and SQLite databases cell by cell.

    Args:
        folder: The folder.
        but: Files and folders that are left out.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or any(path.is_relative_to(b) for b in but):
            continue
        yield str(path.relative_to(folder)), path.name
        if path.is_file():
            yield from file(path, str(path.relative_to(folder)))


def file(path: Path, name: str) -> Iterator[Text]:
    """Yield a file by the name that it is shown by, a database by cells."""
    if _is_sqlite(path):
        yield from ((name, cell) for cell in _cells(path))
    elif not path.name.endswith(("-wal", "-shm", "-journal")):
        yield name, path.read_bytes().decode(errors="replace")


def _is_sqlite(path: Path) -> bool:
    # By name, Keycloak's own database would be one, too.
    with path.open("rb") as opened:
        return opened.read(len(SQLITE)) == SQLITE


def _cells(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        for (table,) in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                yield from map(as_text, row)


def as_text(cell: object) -> str:
    """Return a cell as text; Dagster compresses its snapshots."""
    if isinstance(cell, bytes):
        try:
            return zlib.decompress(cell).decode()
        except zlib.error:
            return cell.decode(errors="replace")
    if isinstance(cell, dict | list):
        return json.dumps(cell, default=str, ensure_ascii=False)
    return str(cell)


def postgres(url: str) -> Iterator[Text]:
    """Yield every cell of every table of a server's databases.

    That is more than a dump shows: compressed cells are opened. What the
    server's sessions last asked is searched too.

    Args:
        url: Of any of its databases, as somebody who may read all.
    """
    with psycopg.connect(url, autocommit=True) as conn:
        for row in conn.execute("SELECT query FROM pg_stat_activity"):
            yield "pg_stat_activity", as_text(row[0])
        names = conn.execute(
            "SELECT datname FROM pg_database WHERE datallowconn"
        ).fetchall()
    for (name,) in names:
        yield from database(psycopg.conninfo.make_conninfo(url, dbname=name))


def database(url: str) -> Iterator[Text]:
    """Yield every cell of every table of one database."""
    with psycopg.connect(url, autocommit=True) as conn:
        tables = conn.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN"
            " ('information_schema', 'pg_catalog')"
        ).fetchall()
        for schema, table in tables:
            query = sql.SQL("SELECT * FROM {}").format(
                sql.Identifier(schema, table)
            )
            for row in conn.execute(query):
                for cell in row:
                    yield f"{conn.info.dbname}.{table}", as_text(cell)


def buckets(client: "S3Client") -> Iterator[Text]:
    """Yield every object of every bucket: key, metadata and bytes."""
    for bucket in client.list_buckets()["Buckets"]:
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket["Name"]
        )
        for page in pages:
            for each in page.get("Contents", []):
                name = f"{bucket['Name']}/{each['Key']}"
                found = client.get_object(
                    Bucket=bucket["Name"], Key=each["Key"]
                )
                yield name, json.dumps([name, found["Metadata"]])
                with found["Body"] as body:
                    yield name, body.read().decode(errors="replace")


def command_lines() -> Iterator[Text]:
    """Yield what every user of the machine sees of every process."""
    yield from _of_processes("cmdline")


def environments_below(folder: Path) -> Iterator[Text]:
    """Yield the environments of processes whose home is below a folder."""
    for where, text in _of_processes("environ"):
        home = re.search(r"(?:^|\0)HOME=([^\0]*)", text)
        if home and Path(home[1]).is_relative_to(folder):
            yield where, text


def _of_processes(what: str) -> Iterator[Text]:
    for path in Path("/proc").glob(f"[0-9]*/{what}"):
        try:
            yield str(path), path.read_bytes().decode(errors="replace")
        except OSError:  # It has just ended, or is somebody else's.
            continue


def kubernetes(things: Iterable[Mapping[str, Any]]) -> Iterator[Text]:
    """Yield the objects of a cluster, Secrets without their data."""
    for thing in things:
        shown = dict(thing)
        if thing.get("kind") == "Secret":
            shown = {
                name: value
                for name, value in thing.items()
                if name not in {"data", "stringData"}
            }
        name = f"{thing.get('kind')} {thing['metadata'].get('name')}"
        yield name, json.dumps(shown, default=str, ensure_ascii=False)
