"""From process start to report: how long, how large, how exact.

Every figure is of a fresh process that reads a table, computes the matrix
profile and writes the report. Ours runs as the command that the launcher
starts, with download from and upload to this machine. pyscamp and stumpy run
in the same pipeline with their engine in place of ours, where they are
installed (``pip install stumpy pyscamp``; pyscamp is built on installation
and needs cmake and g++).

``python -m benchmarks.matrix_profile [--json FILE]``
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.matrix_profile_rivals import THREADS
from benchmarks.matrix_profile_series import (
    GAPS,
    SPIKE,
    VARIABLE,
    WINDOW,
    Floats,
    building,
    reference,
    write_table,
)

OURS = "moderate"
FIRST_RUN = "moderate, first run"
ENGINES = (FIRST_RUN, OURS, "pyscamp", "stumpy", "stumpy, cached")
# Engines whose process compiles each time.
COLD = (FIRST_RUN, "stumpy")
# Values, and the seconds to reach.
SIZES = {35_040: "3 s, 5 s at most", 131_072: "15 s"}
KNOWN = {
    35_040: "stumpy in a fresh process: 25-40 s",
    131_072: "stumpy warm 21 s, SCAMP 7-13 s",
}
RUNS = 3
MEBIBYTE = 1024 * 1024

# Runs a command; a small process of its own, since a child's peak memory is
# never said to be less than its parent's.
_STOPWATCH = """
import resource, subprocess, sys, time
begun = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
wall = time.perf_counter() - begun
used = resource.getrusage(resource.RUSAGE_CHILDREN)
sys.stderr.write(done.stderr)
print(wall, used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(done.returncode)
"""


@dataclass(frozen=True)
class Result:
    """Figures of one engine on one series.

    Attributes:
        engine: Which one.
        values: Length of the series.
        series: What it is like.
        seconds: Wall time from process start to stored report, for each run.
        cpu_seconds: Median processor time.
        peak_mib: Largest resident memory.
        largest_error: Of a distance, against the definition; infinite where
            one is missing or should be.
    """

    engine: str
    values: int
    series: str
    seconds: list[float]
    cpu_seconds: float
    peak_mib: float
    largest_error: float


class _Store(BaseHTTPRequestHandler):
    """Gives the table and takes the report, as an object store would."""

    folder: Path

    def do_GET(self) -> None:
        self._answer((self.folder / "table.csv").read_bytes())

    def do_PUT(self) -> None:
        size = int(self.headers["Content-Length"])
        (self.folder / "report.html").write_bytes(self.rfile.read(size))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _store(folder: Path) -> Iterator[str]:
    handler = type("Store", (_Store,), {"folder": folder})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _run(
    command: Sequence[str], environment: dict[str, str], folder: Path
) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak MiB of a process."""
    stored = folder / "report.html"
    stored.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", _STOPWATCH, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stderr}")
    assert stored.stat().st_size > 10_000
    wall, cpu, peak = map(float, done.stdout.split())
    return wall, cpu, peak * 1024 / MEBIBYTE


def _command(engine: str, folder: Path) -> list[str]:
    if engine in (OURS, FIRST_RUN):
        return [sys.executable, "-m", "moderate.workloads.matrix_profile"]
    names = ("table.csv", "report.html", "distances.npy")
    files = [str(folder / name) for name in names]
    module = "benchmarks.matrix_profile_rivals"
    return [sys.executable, "-m", module, engine, *files]


def _environment(folder: Path, address: str) -> dict[str, str]:
    """Return the command's environment; compiled code is kept in folder."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONWARNINGS": "ignore",
        "NUMBA_NUM_THREADS": str(THREADS),
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "FILE_URL": f"{address}/table.csv",
        "ANALYSIS_VARIABLE": VARIABLE,
        "OUTPUT_BUCKET": "outputs",
        "OUTPUT_KEY": "report.html",
        "S3_ENDPOINT_URL": address,
        "S3_REGION": "us-east-1",
        "S3_ACCESS_KEY_ID": "benchmark",
        "S3_SECRET_ACCESS_KEY": "benchmark",
        "MATRIX_PROFILE_THREADS": str(THREADS),
    }


def _distances(engine: str, values: Floats, folder: Path) -> Floats:
    if engine not in (OURS, FIRST_RUN):
        found: Floats = np.load(folder / "distances.npy")
        return found
    from moderate.workloads.matrix_profile.profile import (  # noqa: PLC0415
        matrix_profile,
    )

    return matrix_profile(values, WINDOW, threads=THREADS).distance


def _largest_error(engine: str, values: Floats, folder: Path) -> float:
    chosen, expected = reference(values, WINDOW)
    found = _distances(engine, values, folder)[chosen]
    if (np.isnan(found) != np.isnan(expected)).any():
        return math.inf
    return float(np.nanmax(abs(found - expected)))


def measure_engine(
    engine: str, size: int, kind: str, *, runs: int = RUNS
) -> Result:
    """Measure one engine on one series."""
    values = building(size, kind)
    cold = engine in COLD
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as name:
        folder = Path(name)
        write_table(values, folder / "table.csv")
        with _store(folder) as address:
            command = _command(engine, folder)
            environment = _environment(folder, address)
            if not cold:
                _run(command, environment, folder)
            taken = [
                _run(command, environment, folder)
                for _ in range(1 if cold else runs)
            ]
        error = _largest_error(engine, values, folder)
    return Result(
        engine,
        size,
        kind,
        [wall for wall, _, _ in taken],
        statistics.median(cpu for _, cpu, _ in taken),
        max(peak for _, _, peak in taken),
        error,
    )


def measure() -> Sequence[report.Row]:
    """Measure ours, for the table of all benchmarks."""
    rows = []
    for size, to_reach in SIZES.items():
        result = measure_engine(OURS, size, GAPS)
        rows.append(
            report.Row(
                f"matrix profile of {size:,} values: start to stored report",
                f"{report.spread(result.seconds, 2)}, "
                f"{result.peak_mib:.0f} MiB, "
                f"largest error {result.largest_error:.0e}",
                to_reach,
                KNOWN[size],
            )
        )
    return rows


def _available(engine: str) -> bool:
    package = engine.partition(",")[0]
    return package == OURS or util.find_spec(package) is not None


def _versions() -> str:
    packages = ("numpy", "numba", "pyscamp", "stumpy")
    found = [name for name in packages if util.find_spec(name)]
    return ", ".join(f"{name} {metadata.version(name)}" for name in found)


def _show(results: Sequence[Result]) -> None:
    print("| engine | values | series | wall | CPU | peak | largest error |")
    print("|---|---|---|---|---|---|---|")
    for each in results:
        print(
            f"| {each.engine} | {each.values:,} | {each.series} | "
            f"{report.spread(each.seconds, 2)} | {each.cpu_seconds:.2f} s | "
            f"{each.peak_mib:.0f} MiB | {each.largest_error:.1e} |"
        )


def main(arguments: Sequence[str]) -> None:
    """Measure all engines and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write it here")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    options = parser.parse_args(arguments)
    facts = f"{report.machine()}, {THREADS} threads, {_versions()}"
    results = []
    for size in options.sizes:
        for engine in filter(_available, options.engines):
            for kind in (GAPS,) if engine in COLD else (GAPS, SPIKE):
                print(f"{engine}, {size:,} values", file=sys.stderr)
                result = measure_engine(engine, size, kind, runs=options.runs)
                results.append(result)
    print(f"{facts}\n\nwindow {WINDOW}, process start to stored report\n")
    _show(results)
    if options.json:
        content = {"machine": facts, "results": list(map(asdict, results))}
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
