"""Small tables on disk, and what stands in them."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import SecretStr

from moderate.dataservices.tables import Table, open_table
from moderate.errors import PermanentError

Rows = Sequence[Mapping[str, str | None]]


def csv_table(folder: Path, text: str | bytes, name: str = "in.csv") -> Table:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_table(path)


def write_rows(folder: Path, rows: Rows) -> Table:
    """Null is an empty field, the empty text a quoted one."""
    names = list(rows[0])
    lines = [",".join(names)]
    for row in rows:
        values = [row[name] for name in names]
        fields = ["" if v is None else f'"{v}"' for v in values]
        lines.append(",".join(fields))
    return csv_table(folder, "\n".join(lines) + "\n")


def text_of(table: Table) -> str:
    return table.path.read_bytes().decode()


def records(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(table))))


def parquet_table(folder: Path, columns: Mapping[str, Any]) -> Table:
    path = folder / "in.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return open_table(path)


class Keys(dict[str, str]):
    """A store of keys."""

    def read(self, name: str) -> SecretStr:
        if name not in self:
            msg = f"key {name!r} does not exist"
            raise PermanentError(msg)
        return SecretStr(self[name])
