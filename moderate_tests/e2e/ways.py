"""The two ways from an event to its run, and which tests go which way."""

from enum import StrEnum

import pytest


class Way(StrEnum):
    """How runs come to be begun."""

    STOCK = "stock"
    """Dagster's sensors, its queue, and a process for each run."""

    FAST = "fast"
    """An intake and a warm worker, the sensors behind them."""


_FAST = pytest.param(Way.FAST, marks=pytest.mark.full)

BOTH = (Way.STOCK, _FAST)
"""What holds, holds on both ways."""

only_stock = pytest.mark.parametrize("way", [Way.STOCK], indirect=True)
"""A test of a part that the fast path has not, or passes by."""

only_fast = pytest.mark.parametrize("way", [_FAST], indirect=True)
"""A test of a part that only the fast path has."""
