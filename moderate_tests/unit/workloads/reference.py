"""The matrix profile straight from its definition, slow and plain.

It shares nothing with the code under test: every distance is computed value
by value, in extended precision, from windows that are normalised one by one.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


def naive_profile(values: NDArray[np.float64], m: int) -> NDArray[np.float64]:
    """Distance of each window to the one most like it; NaN if undefined."""
    windows = sliding_window_view(values.astype(np.longdouble), m)
    complete = np.isfinite(windows).all(axis=1)
    constant = complete & (windows.max(axis=1) == windows.min(axis=1))
    shapes = np.zeros(windows.shape, dtype=np.longdouble)
    for window in np.flatnonzero(complete & ~constant).tolist():
        part = windows[window] - windows[window].mean()
        shapes[window] = part / np.sqrt((part**2).mean())
    profile = np.full(len(windows), np.nan)
    zone = math.ceil(m / 4)
    for window in np.flatnonzero(complete).tolist():
        distance = np.sqrt(((shapes - shapes[window]) ** 2).sum(axis=1))
        one_constant = constant != constant[window]
        distance[one_constant] = math.sqrt(m)
        distance[~complete] = np.inf
        distance[max(0, window - zone) : window + zone + 1] = np.inf
        if np.isfinite(distance.min()):
            profile[window] = float(distance.min())
    return profile
