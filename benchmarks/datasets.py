"""Datasets of the real shapes: how long, how large, how few uploads.

``python -m benchmarks datasets``; the conversion of 2 GB is left out unless
``BENCH_LARGE=1``. Files are generated in a temporary folder.
"""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import Any

from benchmarks.report import Row
from moderate.flows.datasets.collect import Collector, Known
from moderate.flows.datasets.facts import Collected
from moderate.flows.datasets.sources import Dataset
from moderate.inbox.dataset_objects import DatasetObject

HOURS, METERS = 17_544, 1_580
LARGE_ROWS, LARGE_COLUMNS = 6_000_000, 50
PATTERNS = 97
FILES = 50
MIB = 1024 * 1024

_OURS = """
import sys
from pathlib import Path
import httpx
from moderate.workloads.csv_conversion.convert import convert
from moderate.workloads.csv_conversion.reading import Reading

source, folder, url = sys.argv[1:]
targets = [Path(folder, "o.parquet"), Path(folder, "o.csv")]
facts = convert(Path(source), *targets, Reading())
assert facts.rows == facts.parquet_rows == facts.csv_rows
for target in targets if url else ():
    with target.open("rb") as file:
        httpx.post(url, files={"obj": (target.name, file)}, timeout=600)
"""
_PANDAS = """
import sys
import pandas
source, folder, _ = sys.argv[1:]
frame = pandas.read_csv(source)
frame.to_parquet(f"{folder}/p.parquet")
frame.to_csv(f"{folder}/p.csv", index=False)
"""
# A small process of its own: a child's peak memory is never said to be less
# than its parent's.
_STOPWATCH = """
import resource, subprocess, sys, time
begun = time.perf_counter()
subprocess.run([sys.executable, *sys.argv[1:]], check=True)
wall = time.perf_counter() - begun
print(wall, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def write_meters(path: Path, rows: int, columns: int) -> None:
    """Write hourly readings, one column a meter, some of them missing."""
    chance = random.Random(1)
    base = [chance.uniform(0, 500) for _ in range(columns - 1)]
    patterns = [
        [
            "" if chance.random() < 0.05 else f"{b * chance.random():.2f}"
            for b in base
        ]
        for _ in range(PATTERNS)
    ]
    time = datetime(2016, 1, 1)  # noqa: DTZ001 - readings have no zone
    with path.open("w") as file:
        names = ",".join(f"Panther_lodging_{n}" for n in range(columns - 1))
        file.write(f"timestamp,{names}\n")
        for row in range(rows):
            values = patterns[row % PATTERNS]
            turn = row % 13
            shown = ",".join(values[turn:] + values[:turn])
            file.write(f"{time},{shown}\n")
            time += timedelta(hours=1)


class _Taker(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, MIB)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def _taker() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Taker) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _run(code: str, *arguments: str) -> tuple[float, float]:
    """Return wall seconds and peak MiB of a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", _STOPWATCH, "-c", code, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    wall, peak = map(float, done.stdout.split())
    return wall, peak / 1024


def _wide(folder: Path) -> Iterator[Row]:
    source = folder / "wide.csv"
    write_meters(source, HOURS, METERS)
    size = source.stat().st_size / 1e6
    with _taker() as url:
        ours, peak = _run(_OURS, str(source), str(folder), url)
    whole, whole_peak = _run(_PANDAS, str(source), str(folder), "")
    source.unlink()
    yield Row(
        f"CSV of {size:.0f} MB, {HOURS:,} x {METERS:,}, to Parquet, CSV and"
        " uploads",
        f"{ours:.1f} s, {peak:.0f} MiB, {whole / ours:.1f} times pandas",
        "500 MB, 3 times pandas",
        f"pandas whole, no upload: {whole:.1f} s, {whole_peak:.0f} MiB",
    )


def _large(folder: Path) -> Iterator[Row]:
    source = folder / "large.csv"
    write_meters(source, LARGE_ROWS, LARGE_COLUMNS)
    size = source.stat().st_size / 1e9
    wall, peak = _run(_OURS, str(source), str(folder), "")
    yield Row(
        f"CSV of {size:.1f} GB, {LARGE_ROWS:,} x {LARGE_COLUMNS}, to Parquet"
        " and CSV",
        f"{wall:.0f} s, {peak:.0f} MiB",
        "800 MB",
    )


def _collect(folder: Path, name: str, known: Known) -> Collected:
    dataset = Dataset(
        "bench", "bench", "", (folder / "origin").as_uri(), "main", ("*.csv",)
    )
    work = folder / name
    work.mkdir()
    return Collector(
        dataset, dataset.url, work, known, timeout=600, say=lambda _: None
    ).collect()


def _known(collected: Collected) -> Known:
    """Return what is remembered once all of it is on the platform."""
    return {
        (file.path, output.format): DatasetObject(
            dataset=collected.dataset,
            path=file.path,
            format=output.format,
            made_of=file.made_of,
            content_hash=file.content_hash,
            object_hash=output.sha256,
            commit_id=collected.commit,
            asset_id=1,
            object_id=1,
            size_bytes=output.size_bytes,
            row_count=file.rows,
            columns=[list(pair) for pair in file.columns],
        )
        for file in collected.converted
        for output in file.outputs
    }


def _git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=b", "-c", "user.email=b@example.org")
    subprocess.run(
        ["git", *who, *arguments],
        cwd=folder / "origin",
        check=True,
        capture_output=True,
    )


def _again(folder: Path) -> Iterator[Row]:
    origin = folder / "origin"
    origin.mkdir()
    for number in range(FILES):
        write_meters(origin / f"{number:02}.csv", HOURS, 10)
    _git(folder, "init", "--initial-branch=main")
    _git(folder, "config", "uploadpack.allowFilter", "true")
    _git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    _git(folder, "add", "--all")
    _git(folder, "commit", "--message", "data")
    known = _known(_collect(folder, "first", {}))
    begun = perf_counter()
    second = _collect(folder, "second", known)
    wall = perf_counter() - begun
    yield Row(
        f"{FILES} files, nothing changed",
        f"{wall:.2f} s, {2 * len(second.converted)} uploads",
        "seconds, 0 uploads",
    )
    write_meters(origin / "07.csv", HOURS, 11)
    _git(folder, "commit", "--all", "--message", "more")
    begun = perf_counter()
    third = _collect(folder, "third", known)
    wall = perf_counter() - begun
    names = ", ".join(file.path for file in third.converted)
    yield Row(
        f"1 of {FILES} files changed",
        f"{wall:.2f} s, fetched and converted: {names}",
        "that file alone",
    )


def measure() -> Sequence[Row]:
    """Measure the conversions, each in a fresh process."""
    begun = perf_counter()
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as name:
        folder = Path(name)
        rows = [*_wide(folder), *_again(folder)]
        if os.environ.get("BENCH_LARGE"):
            rows += _large(folder)
    print(f"{perf_counter() - begun:.0f} s in all", file=sys.stderr)
    return rows
