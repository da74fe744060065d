"""Our pipeline with another engine in it, as a process of its own.

``python -m benchmarks.matrix_profile_rivals ENGINE TABLE REPORT DISTANCES``
"""

import importlib
import sys
import types
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.matrix_profile_series import VARIABLE, Floats
from moderate.workloads.matrix_profile import reader, series, window

THREADS = 2


def pyscamp(values: Floats, m: int) -> Floats:
    """SCAMP, which keeps correlations as floats."""
    module = importlib.import_module("pyscamp")
    distance, _ = module.selfjoin(values, m, threads=THREADS)
    return np.asarray(distance, dtype=np.float64)


def stumpy(values: Floats, m: int) -> Floats:
    """STUMPY, compiled as it is called."""
    numba = importlib.import_module("numba")
    module = importlib.import_module("stumpy")
    numba.set_num_threads(THREADS)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(module.stump(values, m)[:, 0].astype(np.float64))


def stumpy_cached(values: Floats, m: int) -> Floats:
    """STUMPY with what ``stumpy.cache.save`` switches on in a process."""
    cache = importlib.import_module("stumpy.cache")
    for module, name in cache.get_njit_funcs():
        function = getattr(importlib.import_module(f"stumpy.{module}"), name)
        function.enable_caching()
    return stumpy(values, m)


ENGINES: dict[str, Callable[[Floats, int], Floats]] = {
    "pyscamp": pyscamp,
    "stumpy": stumpy,
    "stumpy, cached": stumpy_cached,
}


def main(arguments: Sequence[str]) -> None:
    """Turn a table into a report and its distances."""
    engine, source, report, distances = arguments
    with Path(source).open("rb") as file:
        read = reader.read_table(file, VARIABLE, max_rows=10**6)
    regular = series.regular_series(read, max_points=10**6)
    chosen = window.choose_window(regular, None)
    distance = ENGINES[engine](regular.values, chosen.points)
    distance[~np.isfinite(distance)] = np.nan
    np.save(distances, distance)
    Path(report).write_bytes(_report(regular, chosen, distance))


def _report(
    regular: series.Series, chosen: window.Window, distance: Floats
) -> bytes:
    # The rivals shall not pay for our engine's compilation.
    ours = types.ModuleType("kernel")
    ours.__dict__.update(scan=None, ENGINE="another")
    sys.modules["moderate.workloads.matrix_profile.kernel"] = ours
    from moderate.workloads.matrix_profile import (  # noqa: PLC0415
        analysis,
        findings,
        profile,
        report,
    )

    known = np.isfinite(distance)
    neighbour = np.where(known, 0, -1).astype(np.int64)
    flat = np.zeros(distance.size, dtype=np.bool_)
    result = profile.Profile(distance, neighbour, known, flat, 0.0)
    found = findings.find(result, chosen.points)
    about = report.Subject("x.csv", VARIABLE, "CSV", "", datetime.now(UTC))
    return report.render(
        about, analysis.Analysis(regular, chosen, result, found, ())
    )


if __name__ == "__main__":
    main(sys.argv[1:])
