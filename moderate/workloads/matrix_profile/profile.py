"""The exact matrix profile of a series with gaps and flat runs.

For each window of ``m`` values, the distance to the window most like it: the
Euclidean distance of both after each was brought to mean 0 and (population)
standard deviation 1. Definitions, as is usual in the field (they are those
of STUMPY):

- Windows that start ``ceil(m / 4)`` steps apart or less are not compared.
- A window with a missing value has no distance.
- Of two windows, both constant: distance 0; one constant: ``sqrt(m)``.

The distance lies between 0 and ``2 * sqrt(m)``; with the Pearson correlation
``r`` of both windows it is ``sqrt(2 * m * (1 - r))``.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from moderate.workloads.matrix_profile.kernel import scan

# Diagonals that go together: seven arrays of it fit the first-level cache.
BLOCK_WIDTH = 512
# Dot products are computed afresh after this many rows or windows' lengths.
AFRESH_ROWS = 4096
AFRESH_WINDOWS = 4
# A norm this many times below an earlier one makes its error count.
NORM_DROP = 64.0
# Of windows looked at together, to bound memory: 32 MiB.
CHUNK_VALUES = 4 * 1024 * 1024
# A window that mustn't be compared.
PENALTY = -4.0


@dataclass(frozen=True)
class Profile:
    """A matrix profile; all arrays have one entry for each window.

    Attributes:
        distance: To the window most like it; NaN where undefined.
        neighbour: Index of that window; -1 where undefined.
        complete: Whether the window has all its values.
        constant: Whether all its values are the same.
        correction: Largest change of a correlation by the last, exact pass:
            a bound of the rounding error of the scan before it.
    """

    distance: NDArray[np.float64]
    neighbour: NDArray[np.int64]
    complete: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    correction: float


def exclusion_zone(m: int) -> int:
    """Says up to which distance windows of ``m`` values aren't compared."""
    return math.ceil(m / 4)


def matrix_profile(
    values: NDArray[np.float64], m: int, *, threads: int = 1
) -> Profile:
    """Computes the matrix profile.

    Args:
        values: The series; NaN where a value is missing.
        m: Length of the windows, at least 2 and at most the series'.
        threads: How many threads share the work.

    Returns:
        The profile, of ``values.size - m + 1`` windows.
    """
    finite = np.isfinite(values)
    complete = _all_of(finite, m)
    x = _scaled(_filled(values, finite))
    constant = complete & _all_of(np.diff(x) == 0, m - 1)
    comparable = complete & ~constant
    mean, norm = _mean_and_norm(x, m)
    best, neighbour = _scan_all(x, m, mean, norm, comparable, threads)
    neighbour[~comparable] = -1
    distance = _exact_distances(x, m, mean, norm, neighbour)
    found = neighbour >= 0
    exact = 1 - distance[found] ** 2 / (2 * m)
    correction = float(abs(exact - best[found]).max(initial=0.0))
    _with_constants(distance, neighbour, comparable, constant, m)
    return Profile(distance, neighbour, complete, constant, correction)


def _all_of(flags: NDArray[np.bool_], m: int) -> NDArray[np.bool_]:
    """Says for each window of ``m`` flags whether all are set."""
    unset = np.concatenate(([0], np.cumsum(~flags)))
    return np.asarray(unset[m:] == unset[: unset.size - m])


def _filled(
    values: NDArray[np.float64], finite: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Repeats the last value in gaps.

    It only keeps the arithmetic free of NaN and of jumps: no window that
    touches a gap is compared.
    """
    last = np.maximum.accumulate(np.where(finite, np.arange(values.size), 0))
    first = values[np.argmax(finite)]
    return np.nan_to_num(values[last], nan=float(first))


def _scaled(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brings a series to about [-1, 1], which changes no distance.

    The scale is a power of two, so no digit is lost. Taking the median away
    keeps the digits of a counter that stands at 1e9.
    """
    _, exponent = np.frexp(abs(x).max(initial=0.0))
    x = np.ldexp(x, -int(exponent))
    return np.ascontiguousarray(x - np.median(x))


def _chunks(windows: int, m: int) -> Iterator[slice]:
    size = max(1, CHUNK_VALUES // m)
    for start in range(0, windows, size):
        yield slice(start, min(start + size, windows))


def _mean_and_norm(
    x: NDArray[np.float64], m: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of each window, and norm of the window less its mean."""
    windows = sliding_window_view(x, m)
    mean, norm = np.empty(len(windows)), np.empty(len(windows))
    for chunk in _chunks(len(windows), m):
        mean[chunk] = windows[chunk].mean(axis=1)
        centred = windows[chunk] - mean[chunk, None]
        norm[chunk] = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    return mean, norm


def _drops(
    norm: NDArray[np.float64], comparable: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Finds the windows from which on earlier rounding errors would count.

    The error of a dot product is that of the largest norms it went through;
    relative to small ones it is large.
    """
    found: list[int] = []
    highest = 0.0
    pairs = zip(norm.tolist(), comparable.tolist(), strict=True)
    for window, (size, wanted) in enumerate(pairs):
        highest = max(highest, size)
        if wanted and size * NORM_DROP < highest:
            found.append(window)
            highest = size
    return np.array(found, dtype=np.int64)


def _scan_all(
    x: NDArray[np.float64],
    m: int,
    mean: NDArray[np.float64],
    norm: NDArray[np.float64],
    comparable: NDArray[np.bool_],
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Finds for each window the one with the highest correlation."""
    n = mean.size
    inverse = np.zeros(n)
    inverse[comparable] = 1 / norm[comparable]
    penalty = np.where(comparable, 0.0, PENALTY)
    df, dg = np.zeros(n), np.zeros(n)
    df[:-1] = (x[m:] - x[: n - 1]) / 2
    dg[:-1] = (x[m:] - mean[1:]) + (x[: n - 1] - mean[:-1])
    drops = _drops(norm, comparable)
    every = max(AFRESH_ROWS, AFRESH_WINDOWS * m)

    def share(firsts: range) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        best, index = np.full(n, -2.0), np.full(n, -1)
        for first in firsts:
            scan(
                *(x, mean, inverse, penalty, df, dg, drops),
                *(m, every, first, BLOCK_WIDTH, best, index),
            )
        return best, index

    # Every thread takes each so-many-th block: blocks get shorter and
    # shorter, and a fixed deal makes the result the same at each run.
    start = exclusion_zone(m) + 1
    shares = [
        range(start + thread * BLOCK_WIDTH, n, threads * BLOCK_WIDTH)
        for thread in range(threads)
    ]
    with ThreadPoolExecutor(threads) as pool:
        return _merged(pool.map(share, shares))


def _merged(
    parts: Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Keeps the better of what the threads found; at a tie, the nearer."""
    best, index = next(parts)
    here = np.arange(best.size)
    for other, other_index in parts:
        nearer = abs(other_index - here) < abs(index - here)
        better = (other > best) | ((other == best) & nearer)
        best[better], index[better] = other[better], other_index[better]
    return best, index


def _exact_distances(
    x: NDArray[np.float64],
    m: int,
    mean: NDArray[np.float64],
    norm: NDArray[np.float64],
    neighbour: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Measures each window and its neighbour value by value.

    The difference of both is taken before it is squared, so that the
    distance of windows that are nearly alike is exact, too.
    """
    windows = sliding_window_view(x, m)
    distance = np.full(neighbour.size, np.nan)
    found = np.flatnonzero(neighbour >= 0)
    for chunk in _chunks(found.size, m):
        here, there = found[chunk], neighbour[found[chunk]]
        gap = (windows[here] - mean[here, None]) / norm[here, None]
        gap -= (windows[there] - mean[there, None]) / norm[there, None]
        distance[here] = np.sqrt(m * np.einsum("ij,ij->i", gap, gap))
    return distance


def _with_constants(
    distance: NDArray[np.float64],
    neighbour: NDArray[np.int64],
    comparable: NDArray[np.bool_],
    constant: NDArray[np.bool_],
    m: int,
) -> None:
    """Adds what the definitions say on constant windows, in place."""
    if not constant.any():
        return
    nearest_constant = _partner(constant, m)
    partner_of_constant = _partner(comparable, m)
    far = math.sqrt(m)
    twins = constant & (nearest_constant >= 0)
    distance[twins], neighbour[twins] = 0.0, nearest_constant[twins]
    alone = constant & ~twins & (partner_of_constant >= 0)
    distance[alone], neighbour[alone] = far, partner_of_constant[alone]
    closer = comparable & (nearest_constant >= 0) & ~(distance <= far)
    distance[closer], neighbour[closer] = far, nearest_constant[closer]


def _partner(wanted: NDArray[np.bool_], m: int) -> NDArray[np.int64]:
    """Finds for each window one of the wanted outside its exclusion zone.

    Returns:
        The index of the nearest one before it, else after it, else -1.
    """
    n = wanted.size
    zone = exclusion_zone(m) + 1
    here = np.arange(n)
    before = np.maximum.accumulate(np.where(wanted, here, -1))
    after = np.minimum.accumulate(np.where(wanted, here, n)[::-1])[::-1]
    partner = np.full(n, -1)
    if zone < n:
        partner[: n - zone] = np.where(after[zone:] < n, after[zone:], -1)
        earlier = before[: n - zone]
        partner[zone:] = np.where(earlier >= 0, earlier, partner[zone:])
    return partner
