"""What is told of a profile is what an engineer should look at first."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from moderate.workloads.matrix_profile.findings import (
    LISTED,
    find,
    quality_notes,
)
from moderate.workloads.matrix_profile.profile import matrix_profile
from moderate.workloads.matrix_profile.series import Series

M = 24


def noise(length: int = 1500, seed: int = 5) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 1, length)


def hourly(values: NDArray[np.float64]) -> Series:
    return Series(values, 0, 3600 * 10**6)


def notes(values: NDArray[np.float64]) -> str:
    profile = matrix_profile(values, M)
    found = quality_notes(hourly(values), profile, M, find(profile, M))
    return " ".join(note.text for note in found)


def test_a_planted_repetition_is_the_first_motif() -> None:
    values = noise()
    values[900 : 900 + M] = values[300 : 300 + M] * 5 + 100
    best = find(matrix_profile(values, M), M).motifs[0]
    assert {best.window, best.match} == {300, 900}
    assert best.distance == pytest.approx(0, abs=1e-6)
    assert best.correlation == pytest.approx(1)


def test_a_planted_fault_is_the_first_discord() -> None:
    day = np.sin(2 * np.pi * np.arange(1500) / M)
    values = day + noise() * 0.05
    values[700:706] = -day[700:706]
    strangest = find(matrix_profile(values, M), M).discords[0]
    assert 700 - M < strangest.window <= 706


def test_listed_windows_do_not_overlap() -> None:
    found = find(matrix_profile(noise(), M), M)
    assert len(found.motifs) == len(found.discords) == LISTED
    motifs = sorted(p for f in found.motifs for p in (f.window, f.match))
    discords = sorted(f.window for f in found.discords)
    for first, second in zip(motifs[::2], motifs[2::2], strict=False):
        assert second - first >= 0
    for places in ([f.window for f in found.motifs], discords):
        assert (np.diff(sorted(places)) >= M).all()


def test_flat_windows_are_no_motifs() -> None:
    values = noise()
    values[200:300] = 1.0
    values[800:900] = 2.0
    found = find(matrix_profile(values, M), M)
    assert all(motif.distance > 0 for motif in found.motifs)


def test_a_distance_to_a_flat_window_is_a_matter_of_definition() -> None:
    values = noise(300)
    values[100:160] = 1.0
    values[160] = 50.0
    strangest = find(matrix_profile(values, M), M).discords[0]
    assert strangest.by_definition
    assert strangest.distance == pytest.approx(math.sqrt(M))


def test_gaps_are_told_with_what_they_cost() -> None:
    values = noise()
    values[100:110] = math.nan
    values[500] = math.nan
    text = notes(values)
    assert "11 steps of 1,500 (0.7%) have no value, in 2 gaps" in text
    assert "10 h, begins at Mon 05 Jan 1970 04:00" in text
    assert f"{10 + M - 1 + M} windows" in text


def test_a_complete_series_is_told_so() -> None:
    assert "No value is missing" in notes(noise())


def test_flat_runs_are_told() -> None:
    values = noise()
    values[200:300] = 7.25
    text = notes(values)
    assert "1 stretch of a window or longer" in text
    assert "100 h at 7.25" in text


def test_a_series_that_never_repeats_is_told() -> None:
    assert "hardly repeats itself" in notes(noise(80))


def test_motifs_may_be_fewer_than_asked_for() -> None:
    found = find(matrix_profile(noise(80), M), M)
    assert 1 <= len(found.motifs) < LISTED
