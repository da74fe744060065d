"""The profile is exact, whatever the series looks like."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from moderate.workloads.matrix_profile import kernel, profile
from moderate.workloads.matrix_profile.profile import matrix_profile
from moderate_tests.unit.workloads.reference import naive_profile

TOLERANCE = 1e-6
LENGTH = 700


def building(seed: int = 3, length: int = LENGTH) -> NDArray[np.float64]:
    """A day's rhythm of 48 values with noise."""
    noise = np.random.default_rng(seed).normal(0, 0.5, length)
    return 10 + 5 * np.sin(2 * np.pi * np.arange(length) / 48) + noise


def with_values(
    series: NDArray[np.float64], *changes: tuple[slice, float]
) -> NDArray[np.float64]:
    changed = series.copy()
    for part, value in changes:
        changed[part] = value
    return changed


def scales() -> NDArray[np.float64]:
    """Large at first, then tiny: earlier rounding errors must not stay."""
    series = building()
    series[300:] *= 1e-6
    series[500:560] = np.random.default_rng(1).normal(0, 1e-9, 60)
    return series


nan = math.nan
SERIES = {
    "plain": building(),
    "coarse steps, many ties": np.round(building()),
    "gaps": with_values(
        building(),
        (slice(0, 3), nan),
        (slice(200, 230), nan),
        (slice(400, 401), nan),
    ),
    "gap at the end": with_values(building(), (slice(650, LENGTH), nan)),
    "flat runs": with_values(
        building(), (slice(100, 260), 3.0), (slice(400, 600), 4.0)
    ),
    "one flat run": with_values(building(), (slice(300, 340), 7.7)),
    "flat run beside a gap": with_values(
        building(), (slice(100, 240), 3.0), (slice(240, 260), nan)
    ),
    "offset of 1e9": building() + 1e9,
    "counter at 1e9": 1e9 + np.cumsum(abs(building())),
    "counter with gaps": with_values(
        1e9 + np.cumsum(abs(building())), (slice(333, 350), nan)
    ),
    "spikes of a faulty meter": with_values(
        building(), (slice(150, 151), 1e9), (slice(350, 352), -1e12)
    ),
    "many orders of magnitude": scales(),
    "tiny numbers": building() * 1e-200,
    "huge numbers": building() * 1e300,
    "the same day again and again": np.tile(building(length=48), 14),
    "on and off": np.repeat([0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0], 100),
}


@pytest.mark.parametrize("m", [4, 48, 96])
@pytest.mark.parametrize("name", SERIES)
def test_it_agrees_with_the_definition(name: str, m: int) -> None:
    expected = naive_profile(SERIES[name], m)
    result = matrix_profile(SERIES[name], m, threads=2)
    np.testing.assert_allclose(
        result.distance, expected, rtol=0, atol=TOLERANCE, equal_nan=True
    )


@pytest.mark.parametrize("name", SERIES)
def test_the_neighbour_is_a_window_at_that_distance(name: str) -> None:
    m = 48
    series = SERIES[name]
    result = matrix_profile(series, m, threads=2)
    for window in np.flatnonzero(result.neighbour >= 0)[::7]:
        other = result.neighbour[window]
        assert abs(other - window) > profile.exclusion_zone(m)
        pair = np.concatenate(
            (series[window : window + m], series[other : other + m])
        )
        alone = _distance(pair[:m], pair[m:])
        assert result.distance[window] == pytest.approx(alone, abs=TOLERANCE)


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    flat = [bool((part == part[0]).all()) for part in (a, b)]
    if any(flat):
        return 0.0 if all(flat) else math.sqrt(a.size)
    shapes = []
    for part in (a.astype(np.longdouble), b.astype(np.longdouble)):
        centred = part - part.mean()
        shapes.append(centred / np.sqrt((centred**2).mean()))
    return float(np.sqrt(((shapes[0] - shapes[1]) ** 2).sum()))


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.one_of(
            st.integers(0, 3).map(float),
            st.floats(-1e6, 1e6).map(lambda value: round(value, 3)),
            st.just(nan),
        ),
        min_size=12,
        max_size=60,
    ),
    m=st.integers(3, 12),
    threads=st.integers(1, 3),
)
def test_it_agrees_on_any_short_series(
    values: list[float], m: int, threads: int
) -> None:
    series = np.array(values)
    if not np.isfinite(series).any():
        return
    result = matrix_profile(series, m, threads=threads)
    np.testing.assert_allclose(
        result.distance,
        naive_profile(series, m),
        rtol=0,
        atol=TOLERANCE,
        equal_nan=True,
    )


def test_blocks_and_fresh_starts_do_not_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The seams between blocks lie elsewhere; the result is the same."""
    series = SERIES["gaps"]
    whole = matrix_profile(series, 24, threads=1)
    monkeypatch.setattr(profile, "BLOCK_WIDTH", 7)
    monkeypatch.setattr(profile, "AFRESH_ROWS", 5)
    monkeypatch.setattr(profile, "AFRESH_WINDOWS", 1)
    monkeypatch.setattr(profile, "CHUNK_VALUES", 100)
    parts = matrix_profile(series, 24, threads=3)
    np.testing.assert_allclose(
        parts.distance, whole.distance, rtol=0, atol=1e-12
    )


def test_it_is_the_same_at_each_run() -> None:
    runs = [
        matrix_profile(SERIES["coarse steps, many ties"], 24, threads=3)
        for _ in range(3)
    ]
    for run in runs[1:]:
        assert (run.neighbour == runs[0].neighbour).all()
        assert (run.distance == runs[0].distance).all()


def test_rounding_errors_are_measured() -> None:
    assert 0 <= matrix_profile(building(), 48).correction < 1e-10


def test_a_kernel_that_cannot_be_kept_is_still_compiled() -> None:
    """A function without a source file is one that numba can't cache."""
    made: dict[str, object] = {}
    exec("def double(x):\n    return 2 * x\n", made)
    double = kernel._compiled("f8(f8)")(made["double"])  # type: ignore[type-var]
    assert callable(double)
    assert double(21.0) == 42.0
