"""Data services: time, memory and loss, side by side with anjana.

``DATA_SERVICES_BENCH_SCALE`` (1 by default) scales the numbers of rows, for
machines that are small or busy. ``ANJANA_PYTHON`` is the interpreter of a
virtual environment that has anjana (its dependencies are not ours)::

    python -m venv /tmp/anjana && /tmp/anjana/bin/pip install anjana
    ANJANA_PYTHON=/tmp/anjana/bin/python python -m benchmarks data-services
"""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.report import Row

SCALE = float(os.environ.get("DATA_SERVICES_BENCH_SCALE", "1"))
PIECE = 250_000
RIVAL_ROWS = 20_000
RIVAL_SECONDS = 300
RIVAL_PYTHON = os.environ.get("ANJANA_PYTHON")
ANONYMISE = """
from moderate.dataservices.anonymise import anonymise
from moderate.dataservices.requests import Request
request = Request(
    quasi_identifiers=("age", "sex", "zip", "born"), k=5, ident=("name",),
    sensitive=("ill",), supp_level=0.05,
    hierarchies={
        "age": {"type": "intervals", "widths": [5, 10, 20, 40]},
        "sex": "simpl_gender",
        "zip": {"type": "prefix", "keep": [4, 3, 2]},
    },
)
anonymise(open_table(source), request, target)
"""
CLEAN = """
from moderate.dataservices import duplicates, filling
unique, _ = duplicates.remove_duplicates(
    open_table(source), duplicates.DuplicateRequest(), target)
filling.fill_missing(
    unique, filling.parse({"load": "median", "born": "mode"}),
    target.with_name("filled.csv"))
"""
ROUND_TRIP = """
from cryptography.fernet import Fernet
from pydantic import SecretStr
from moderate.dataservices.pseudonymise import pseudonymise
from moderate.dataservices.techniques import parse
class Keys:
    key = SecretStr(Fernet.generate_key().decode())
    def read(self, name):
        return self.key
def done(kind, table, path):
    used = parse([{kind: {"columns": ["name"], "key_name": "k"}}])
    return pseudonymise(table, used, Keys(), path)[0]
hidden = done("encrypt", open_table(source), target)
back = done("decrypt", hidden, target.with_name("back.csv"))
assert back.path.read_bytes() == source.read_bytes()
"""
RIVAL = """
import pandas as pd
from anjana.anonymity import k_anonymity
frame = pd.read_csv(source)
# A null there is a TypeError.
frame["born"] = frame["born"].fillna("none")
def bands(width):
    return [f"[{a // width * width}, {a // width * width + width})"
            for a in frame["age"]]
hierarchies = {
    "age": {0: frame["age"].values, **{i: bands(w) for i, w in
            enumerate((5, 10, 20, 40), 1)}, 5: ["*"] * len(frame)},
    "sex": {0: frame["sex"].values, 1: ["*"] * len(frame)},
    "zip": {0: frame["zip"].values,
            **{i: [str(z)[:n] + "*" * (5 - n) for z in frame["zip"]]
               for i, n in enumerate((4, 3, 2), 1)},
            4: ["*"] * len(frame)},
    "born": {0: frame["born"].values, 1: ["*"] * len(frame)},
}
done = k_anonymity(frame, ["name"], ["age", "sex", "zip", "born"], 5, 5,
                   hierarchies)
done.to_csv(target, index=False)
"""
_HEAD = """
import resource, sys, time
from pathlib import Path
source, target = map(Path, sys.argv[1:3])
began = time.perf_counter()
{imports}
"""
_TAIL = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(time.perf_counter() - began, time.process_time(), peak)
"""


def measure() -> Sequence[Row]:
    """Measure all of them, one after the other, each in its own process."""
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as folder:
        path = Path(folder)
        return [
            _anonymise(path, 1_000_000, "3 s", "ARX 5.8 s"),
            *_rival(path),
            _anonymise(path, 10_000_000, "4 GiB", ""),
            _round_trip(path),
            _clean(path),
        ]


def people(path: Path, rows: int, *, repeats: bool = False) -> Path:
    """Write rows of made-up people, in pieces.

    Args:
        path: The file.
        rows: How many.
        repeats: Whether every tenth row is one that was there before.
    """
    random = np.random.default_rng(1)
    with path.open("wb") as file:
        for start in range(0, rows, PIECE):
            size = min(PIECE, rows - start)
            piece = _piece(random, start, size)
            if repeats:
                piece = pl.concat([piece[: -size // 10], piece[: size // 10]])
            piece.write_csv(file, include_header=start == 0)
    return path


def _piece(random: np.random.Generator, start: int, size: int) -> pl.DataFrame:
    load = random.normal(50, 10, size).round(3)
    return pl.DataFrame(
        {
            "id": np.arange(start, start + size),
            "name": random.integers(10**9, 10**10, size).astype(str),
            "age": random.integers(18, 90, size),
            "sex": random.choice(["F", "M"], size),
            "zip": random.integers(10000, 10400, size),
            "born": random.choice(["DE", "ES", "FR", "IT", "PL", ""], size),
            "ill": random.choice(list("abcde"), size),
            "load": load,
            "note": random.integers(10**15, 10**16, size).astype(str),
        }
    ).with_columns(
        pl.col("born").replace("", None),
        pl.when(pl.col("load") > 35).then("load"),
    )


@dataclass(frozen=True)
class Cost:
    """What a fresh process took: seconds, seconds of CPU, peak GiB."""

    seconds: float
    cpu: float
    peak: float

    def __str__(self) -> str:
        return (
            f"{self.seconds:.2f} s (CPU {self.cpu:.2f} s), {self.peak:.2f} GiB"
        )


def _run(code: str, source: Path) -> Cost:
    """Run a program of ours on a file in a process of its own."""
    imports = "from moderate.dataservices.tables import open_table"
    return _timed(sys.executable, imports, code, source)


def _timed(
    python: str, imports: str, code: str, source: Path, limit: float = 3600
) -> Cost:
    program = _HEAD.format(imports=imports) + textwrap.dedent(code) + _TAIL
    target = source.with_name("made.csv")
    done = subprocess.run(
        [python, "-c", program, str(source), str(target)],
        capture_output=True,
        text=True,
        check=True,
        timeout=limit,
    )
    for made in ("made.csv", "back.csv", "filled.csv"):
        source.with_name(made).unlink(missing_ok=True)
    return Cost(*map(float, done.stdout.split()[-3:]))


def _with(
    path: Path, rows: int, work: Callable[[Path], Row], *, repeats: bool
) -> Row:
    source = people(path / "source.csv", rows, repeats=repeats)
    try:
        return work(source)
    finally:
        source.unlink()


def _anonymise(path: Path, rows: int, to_reach: str, known: str) -> Row:
    size = int(rows * SCALE)

    def work(source: Path) -> Row:
        return Row(
            f"k = 5, 4 quasi-identifiers, {size:,} rows, CSV in and out",
            str(_run(ANONYMISE, source)),
            to_reach,
            known,
        )

    return _with(path, size, work, repeats=False)


def _rival(path: Path) -> Sequence[Row]:
    what = f"the same, {RIVAL_ROWS:,} rows"

    def work(source: Path) -> Row:
        ours = _run(ANONYMISE, source)
        known, factor = _anjana(source, ours)
        return Row(what, f"{ours}{factor}", "a tenth of anjana", known)

    return [_with(path, RIVAL_ROWS, work, repeats=False)]


def _anjana(source: Path, ours: Cost) -> tuple[str, str]:
    """Return what anjana took, and how many times our time that is."""
    if RIVAL_PYTHON is None:
        return "anjana 53 s (1.2.3, before; set ANJANA_PYTHON)", ""
    try:
        cost = _timed(RIVAL_PYTHON, "", RIVAL, source, RIVAL_SECONDS)
    except subprocess.TimeoutExpired:
        return f"anjana: over {RIVAL_SECONDS} s", ""
    factor = cost.seconds / ours.seconds
    return f"anjana {cost}", f"; {factor:.0f} times as fast"


def _round_trip(path: Path) -> Row:
    size = int(1_000_000 * SCALE)

    def work(source: Path) -> Row:
        cost = _run(ROUND_TRIP, source)
        return Row(
            f"Fernet round trip of a column, {size:,} rows, files included",
            f"{size / cost.seconds:,.0f} values/s, {cost}",
            "200,000 values/s",
            "cryptography.fernet 126,000/s one way on one core",
        )

    return _with(path, size, work, repeats=False)


def _clean(path: Path) -> Row:
    size = int(92_000_000 * SCALE)

    def work(source: Path) -> Row:
        gigabytes = source.stat().st_size / 1e9
        cost = _run(CLEAN, source)
        return Row(
            f"deduplicate and fill {gigabytes:.1f} GB of CSV",
            str(cost),
            "1.5 GiB",
        )

    free = shutil.disk_usage(path).free
    if free < size * 400:
        return Row("deduplicate and fill", "not enough disk", "1.5 GiB")
    return _with(path, size, work, repeats=True)
