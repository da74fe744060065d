"""Series for the matrix profile benchmark, and their true distances."""

import math
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

WINDOW = 96
VARIABLE = "power"
GAPS = "gaps, flat run"
SPIKE = "and a spike of 1e9"
# The reference compares these many windows with all others.
REFERENCE_WINDOWS = 4_096
BLOCK = 512

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def building(length: int, kind: str) -> Floats:
    """Quarter-hourly power: days, weeks, a repetition, gaps, a flat run."""
    steps = np.arange(length)
    day = np.clip(np.sin(2 * np.pi * (steps % 96 - 30) / 96), 0, None)
    workday = np.where(steps // 96 % 7 < 5, 1.0, 0.35)
    noise = np.random.default_rng(7).normal(0, 0.4, length)
    values: Floats = np.round(4 + 12 * day * workday + noise, 3)
    values[20_000:20_200] = values[1_000:1_200]
    values[5_000:5_040] = math.nan
    values[9_000:9_001] = math.nan
    values[30_000:30_250] = 4.0
    if kind == SPIKE:
        values[12_345] = 1e9
    return values


def write_table(values: Floats, path: Path) -> None:
    """Write a CSV file; missing values are missing rows."""
    begin = np.datetime64("2023-01-01T00:00")
    times = begin + np.arange(values.size) * np.timedelta64(15, "m")
    with path.open("w") as file:
        file.write(f"time,other,{VARIABLE}\n")
        for moment, value in zip(times, values, strict=True):
            if np.isfinite(value):
                file.write(f"{str(moment).replace('T', ' ')},1,{value}\n")


def reference(values: Floats, m: int) -> tuple[NDArray[np.int64], Floats]:
    """Return some windows, and their distances straight from the definition.

    Each window is normalised by itself; a matrix product finds the best
    match, whose distance is then measured value by value. Nothing is shared
    with any of the engines.
    """
    windows = sliding_window_view(values, m)
    complete = np.asarray(np.isfinite(windows).all(axis=1))
    flat = complete & (windows.max(axis=1) == windows.min(axis=1))
    shapes = np.zeros(windows.shape)
    usual = complete & ~flat
    centred = windows[usual] - windows[usual].mean(axis=1, keepdims=True)
    shapes[usual] = centred / np.sqrt((centred**2).sum(1, keepdims=True))
    number = min(REFERENCE_WINDOWS, len(windows))
    chosen = np.linspace(0, len(windows) - 1, number).astype(np.int64)
    parts = [
        _distances(shapes, complete, flat, chosen[start : start + BLOCK])
        for start in range(0, number, BLOCK)
    ]
    return chosen, np.concatenate(parts)


def _distances(
    shapes: Floats, complete: Flags, flat: Flags, chosen: NDArray[np.int64]
) -> Floats:
    m = shapes.shape[1]
    zone = math.ceil(m / 4)
    alike = shapes[chosen] @ shapes.T
    alike[flat[chosen][:, None] != flat[None, :]] = 0.5
    alike[flat[chosen][:, None] & flat[None, :]] = 1.0
    alike[:, ~complete] = -np.inf
    result = np.full(chosen.size, math.nan)
    for row, window in enumerate(chosen.tolist()):
        alike[row, max(0, window - zone) : window + zone + 1] = -np.inf
        best = int(alike[row].argmax())
        if not complete[window] or alike[row, best] == -np.inf:
            continue
        if flat[window] or flat[best]:
            result[row] = math.sqrt(2 * m * (1 - alike[row, best]))
        else:
            gap = shapes[window] - shapes[best]
            result[row] = math.sqrt(m * (gap**2).sum())
    return result
