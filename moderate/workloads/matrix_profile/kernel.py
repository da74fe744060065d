"""The inner loop of the matrix profile, compiled when it is first imported.

The distance matrix is walked along its diagonals, as SCAMP does (Zimmerman
et al. 2019, section 3.1, doi:10.1145/3357223.3362721): from one row to the
next, the centred dot product of two windows changes by two products. Many
neighbouring diagonals go together, so that each step is a vector operation.

Two things differ from the published form, both for the sake of exactness:

- Correlations stay in double precision all the way. (SCAMP keeps them as
  floats, which for two windows that are nearly alike is an error of up to
  ``sqrt(2 * m * 6e-8)``: 0.003 for a window of 96.)
- Rounding errors, which grow along a diagonal, are thrown away by computing
  the dot product afresh every so many rows, and whenever a window's norm has
  dropped far below one met before. Otherwise a single spike of 1e9, as faulty
  meters write them, would spoil all that comes after it.

The loops over the lanes are written so that LLVM makes vector instructions of
them: a maximum would not become one, counting what is above a bound does.

It is compiled on import, which takes a second. Where Python may keep its own
compiled files, beside this one, numba keeps its too, and the next process is
spared that second; they are as safe as those, and numba tells by the source,
its own version and the processor whether they fit. Where nothing can be
written, as in a container with a read-only file system, nothing is kept.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
from numba import __version__ as numba_version
from numba import njit
from numpy.typing import NDArray

ENGINE = (
    f"diagonal scan in double precision, compiled by numba {numba_version}"
)

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]

_SIGNATURE = (
    "void(f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], "
    "i8[::1], i8, i8, i8, i8, f8[::1], i8[::1])"
)


def _compiled(*signature: str) -> Callable[[_Function], _Function]:
    """Compiles a function, and keeps the result where that is possible."""
    compiled = partial(
        njit,
        *signature,
        nogil=True,
        # No NaN and no infinity ever enters; sums may be reordered.
        fastmath={"contract", "nnan", "ninf", "nsz", "reassoc"},
        error_model="numpy",
    )

    def decorate(function: _Function) -> _Function:
        wrap: Any
        try:
            wrap = compiled(cache=True)(function)
        except RuntimeError:
            # numba found no folder that it may write to.
            wrap = compiled()(function)
        return cast("_Function", wrap)

    return decorate


@_compiled()
def _dot_products(
    x: _Floats, mean: _Floats, m: int, i: int, j: int, cov: _Floats
) -> None:
    """Computes afresh window ``i`` with those from ``j`` on."""
    cov[:] = 0.0
    for k in range(m):
        a = x[i + k] - mean[i]
        entering = x[j + k : j + k + cov.size]
        means = mean[j : j + cov.size]
        for lane in range(cov.size):
            cov[lane] += a * (entering[lane] - means[lane])


@_compiled()
def _keep_best(
    corr: _Floats, i: int, j: int, best: _Floats, index: _Integers
) -> None:
    """Keeps what is better than before, for row ``i`` and its columns.

    That is rare, so that counting first, which is fast, pays.
    """
    bests = best[j : j + corr.size]
    row_best = best[i]
    column_hits = 0
    row_hits = 0
    for lane in range(corr.size):
        column_hits += corr[lane] > bests[lane]
        row_hits += corr[lane] > row_best
    if column_hits:
        for lane in range(corr.size):
            if corr[lane] > bests[lane]:
                bests[lane] = corr[lane]
                index[j + lane] = i
    if row_hits:
        for lane in range(corr.size):
            if corr[lane] > best[i]:
                best[i] = corr[lane]
                index[i] = j + lane


@_compiled(_SIGNATURE)
def scan(  # noqa: PLR0917 (compiled functions take no keywords)
    x: _Floats,
    mean: _Floats,
    inverse: _Floats,
    penalty: _Floats,
    df: _Floats,
    dg: _Floats,
    drops: _Integers,
    m: int,
    every: int,
    first: int,
    width: int,
    best: _Floats,
    index: _Integers,
) -> None:
    """Compares windows ``first`` to ``first + width - 1`` steps apart.

    Args:
        x: The series, without NaN.
        mean: Mean of each of the ``n`` windows.
        inverse: 1 / norm of each centred window; 0 where it has none.
        penalty: 0 where a window may be compared, else -4, which no
            correlation makes up for.
        df: Half the difference of what enters a window and what leaves it.
        dg: Sum of the same two values, each less its own window's mean.
        drops: Windows whose norm is far below that of one before; sorted.
        m: Length of the windows.
        every: After how many rows the dot products are computed afresh.
        first: The first diagonal.
        width: How many diagonals, at most; there are no more than ``n``.
        best: Highest correlation found so far, for each window; updated.
        index: The window it was found with; updated.
    """
    n = mean.size
    all_cov = np.empty(width)
    all_corr = np.empty(width)
    row_drop = 0
    column_drop = 0
    for i in range(n - first):
        j = i + first
        lanes = min(width, n - j)
        cov = all_cov[:lanes]
        afresh = i % every == 0
        while row_drop < drops.size and drops[row_drop] <= i:
            row_drop += 1
            afresh = True
        if afresh:
            _dot_products(x, mean, m, i, j, cov)
        while column_drop < drops.size and drops[column_drop] < j:
            column_drop += 1
        for drop in drops[column_drop:]:
            if drop >= j + lanes:
                break
            _dot_products(x, mean, m, i, drop, cov[drop - j : drop - j + 1])
        if penalty[i] == 0.0:
            corr = all_corr[:lanes]
            inverses = inverse[j : j + lanes]
            penalties = penalty[j : j + lanes]
            for lane in range(lanes):
                corr[lane] = cov[lane] * inverse[i] * inverses[lane]
                corr[lane] += penalties[lane]
            _keep_best(corr, i, j, best, index)
        dfs = df[j : j + lanes]
        dgs = dg[j : j + lanes]
        for lane in range(lanes):
            cov[lane] += df[i] * dgs[lane] + dg[i] * dfs[lane]
