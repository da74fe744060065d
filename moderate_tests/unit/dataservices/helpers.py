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

PEOPLE = """id,Name,age,gender,disease
1,Ann,25,F,flu
2,Bea,27,F,cold
3,Cea,28,F,flu
4,Dea,29,F,gout
5,Edo,31,M,flu
6,Fin,33,M,cold
7,Gus,36,M,flu
8,Hal,38,M,gout
9,Ida,41,F,flu
10,Joy,44,F,cold
11,Kim,46,F,flu
12,Liv,47,F,gout
"""
"""The documents' example, as far as they describe it."""

SIMPL = {"gender": "simpl_gender", "age": "simpl_age"}


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
